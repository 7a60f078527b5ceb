"""Weights beside the base model's and its siblings': what separates, and what must not be flagged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from posttrainbench.auditing.lineage import (
    Block,
    Likeness,
    Norms,
    check_lineage,
    foreign,
    looks_equal,
    measure,
    rows_of,
)
from posttrainbench.finding import CheckReport, CheckStatus, Strength

Weights = Mapping[str, npt.NDArray[np.float32]]
SHAPES = {"embed": (80, 50), "mlp": (100, 60), "norm": (40, 1)}
RNG = np.random.default_rng(0)
SIBLING = "owner/instruct"


def draw(scale: float) -> dict[str, npt.NDArray[np.float32]]:
    return {name: scale * RNG.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}


def plus(left: Weights, right: Weights, factor: float = 1.0) -> dict[str, npt.NDArray[np.float32]]:
    return {name: (left[name] + np.float32(factor) * right[name]).astype(np.float32) for name in left}


BASE = draw(1.0)
CHANGE = draw(0.1)
INSTRUCT = plus(BASE, CHANGE)
HONEST = plus(BASE, draw(0.1))


def blocks_of(final: Weights, sibling: Weights = INSTRUCT, height: int = 16) -> list[Block]:
    return [
        Block(
            name,
            1.0,
            BASE[name][at : at + height],
            final[name][at : at + height],
            (sibling[name][at : at + height] if name in sibling else None,),
        )
        for name, (rows, _) in SHAPES.items()
        for at in range(0, rows, height)
    ]


def checked(final: Weights, sibling: Weights = INSTRUCT, height: int = 16) -> CheckReport:
    """As a run's audit does it: digests are compared of those that look equal."""
    tensors = measure(blocks_of(final, sibling, height))
    models = {None: BASE, SIBLING: sibling}
    equal = {
        name: "d1gest"
        for number, name in ((None, None), (0, SIBLING))
        if looks_equal(tensors, number)
        and all(np.array_equal(final[n], models[name][n]) for n in models[name])
    }
    return check_lineage(tensors, [SIBLING], equal)


def strengths(made: CheckReport) -> list[Strength]:
    return [finding.strength for finding in made.findings]


def test_an_honest_model_passes() -> None:
    made = checked(HONEST)
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert made.reason == "covered 3 tensors beside the base model and owner/instruct"


def test_an_honest_model_trained_on_instruct_like_data_passes() -> None:
    """Cosine of the differences about .94, as measured on an honest model."""
    made = checked(plus(plus(BASE, CHANGE, 0.94), draw(0.034)))
    assert made.findings == ()


def test_the_untouched_base_is_noted() -> None:
    made = checked(BASE)
    assert (made.status, strengths(made)) == (CheckStatus.PASSED, [Strength.NOTE])
    assert "untouched base" in made.findings[0].summary


def test_a_base_that_only_looks_untouched_is_not_called_so() -> None:
    made = check_lineage(measure(blocks_of(BASE)), [SIBLING], {})
    assert "no value looked at differs" in made.findings[0].summary


def test_a_verbatim_sibling_disqualifies() -> None:
    made = checked(INSTRUCT)
    assert (made.status, strengths(made)) == (CheckStatus.FAILED, [Strength.DISQUALIFYING])
    assert "the weights are those of owner/instruct" in made.findings[0].summary
    assert "d1gest" in made.findings[0].evidence[0].locator


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.5])
def test_a_merge_with_a_sibling_disqualifies(share: float) -> None:
    made = checked(plus(BASE, CHANGE, share))
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert "a merge with owner/instruct" in made.findings[0].summary


def test_a_merge_by_other_shares_in_each_tensor_disqualifies() -> None:
    """All tensors together point elsewhere than the sibling; each by itself does not."""
    shares = {"embed": 0.1, "mlp": -0.6, "norm": 1.0}
    made = checked({name: (BASE[name] + shares[name] * CHANGE[name]).astype(np.float32) for name in BASE})
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert "a merge with owner/instruct" in made.findings[0].summary


def test_a_sibling_at_another_precision_disqualifies() -> None:
    rounded = {name: array.astype(np.float16).astype(np.float32) for name, array in INSTRUCT.items()}
    assert strengths(checked(rounded)) == [Strength.DISQUALIFYING]


def test_single_tensors_of_a_sibling_among_ones_own_disqualify() -> None:
    made = checked({**HONEST, "embed": INSTRUCT["embed"]})
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert "40% of the weights that owner/instruct changed are copies" in made.findings[0].summary
    assert [one.source for one in made.findings[0].evidence] == ["embed"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_pruned_sibling_disqualifies(share: float) -> None:
    pruned = {
        name: np.where(np.abs(array) < np.quantile(np.abs(array), share), np.float32(0), array)
        for name, array in INSTRUCT.items()
    }
    made = checked(pruned)
    assert Strength.DISQUALIFYING in strengths(made)
    assert any("pruned copies of its own" in finding.summary for finding in made.findings)


def test_a_pruned_base_is_noted() -> None:
    pruned = {name: np.where(np.abs(array) < 0.5, np.float32(0), array) for name, array in BASE.items()}
    made = checked(pruned)
    assert strengths(made) == [Strength.NOTE]
    assert "of the weights were set to zero" in made.findings[0].summary


def test_foreign_and_permuted_weights_disqualify() -> None:
    for other in (draw(1.0), {name: array[::-1].copy() for name, array in HONEST.items()}):
        made = checked(other)
        assert strengths(made) == [Strength.DISQUALIFYING]
        assert "foreign or permuted weights: 100%" in made.findings[0].summary
        assert len(made.findings[0].evidence) == 3


def test_permuted_rows_and_columns_are_traced_to_their_model() -> None:
    permuted = INSTRUCT["mlp"][RNG.permutation(100)][:, RNG.permutation(60)]
    tensors = measure(blocks_of({**HONEST, "mlp": permuted}))
    assert foreign(tensors) == ("mlp",)
    own, theirs, bases = (Norms.of([w[:30], w[30:]]) for w in (permuted, INSTRUCT["mlp"], BASE["mlp"]))
    assert own.distance(theirs) < 1e-6 < own.distance(bases)
    near = Likeness("mlp", ((SIBLING, own.distance(theirs)), ("the base model", own.distance(bases))))
    (finding,) = check_lineage(tensors, [SIBLING], {}, [near]).findings
    assert f"permuted from {SIBLING}" in finding.summary
    assert "nearest to owner/instruct's, 0.0000 off" in finding.evidence[0].detail


def test_weights_that_are_nobodys_are_called_so() -> None:
    tensors = measure(blocks_of({**HONEST, "mlp": draw(2.0)["mlp"]}))
    far = Norms.of([draw(2.0)["mlp"]]).distance(Norms.of([BASE["mlp"]]))
    (finding,) = check_lineage(tensors, [SIBLING], {}, [Likeness("mlp", (("the base model", far),))]).findings
    assert "of no known model" in finding.summary


def test_averaging_ones_own_checkpoints_passes() -> None:
    other = plus(BASE, draw(0.1))
    assert checked(plus(HONEST, plus(other, HONEST, -1), 0.5)).findings == ()


def test_merging_ones_own_low_rank_adapter_passes() -> None:
    low = RNG.standard_normal((100, 4), dtype=np.float32) @ RNG.standard_normal((4, 60), dtype=np.float32)
    made = {**BASE, "mlp": BASE["mlp"] + np.float32(0.05) * low}
    assert checked(made).findings == ()
    assert 2 < (measure(blocks_of(made))["mlp"].effective_rank or 0) < 8  # an estimate, from 16 directions


def test_a_published_adapter_that_was_added_disqualifies() -> None:
    low = RNG.standard_normal((100, 4), dtype=np.float32) @ RNG.standard_normal((4, 60), dtype=np.float32)
    adapted = {"mlp": (BASE["mlp"] + np.float32(0.01) * low).astype(np.float32)}
    assert strengths(checked({**BASE, **adapted}, adapted)) == [Strength.DISQUALIFYING]
    assert strengths(checked({**BASE, "mlp": BASE["mlp"] + np.float32(0.007) * low}, adapted)) == [
        Strength.DISQUALIFYING
    ]
    assert checked(HONEST, adapted).findings == ()


def test_a_sibling_that_shares_few_tensors_says_nothing() -> None:
    assert checked(HONEST, {"norm": HONEST["norm"]}).findings == ()


def test_a_sibling_that_moved_nothing_says_nothing() -> None:
    assert checked(HONEST, BASE).findings == ()


def test_the_size_of_the_blocks_changes_nothing() -> None:
    final = plus(BASE, CHANGE, 0.5)
    assert strengths(checked(final, height=1)) == strengths(checked(final, height=10**6))


def test_permuting_one_kind_of_layer_disqualifies() -> None:
    made = checked({**HONEST, "mlp": RNG.permutation(HONEST["mlp"])})
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert [one.source for one in made.findings[0].evidence] == ["mlp"]


def test_one_small_odd_tensor_is_no_alarm() -> None:
    assert checked({**HONEST, "norm": -HONEST["norm"]}).findings == ()
    assert checked({**HONEST, "norm": INSTRUCT["norm"]}).findings == ()


def test_a_tensor_of_zeros_has_no_direction_to_keep() -> None:
    zero, moved = np.zeros((100, 1), np.float32), np.ones((100, 1), np.float32)
    blocks = [Block("bias", 1.0, zero, moved, ()), Block("norm", 1.0, moved, moved, ())]
    assert check_lineage(measure(blocks), [], {}).findings == ()
    made = check_lineage(measure([Block("zeroed", 1.0, moved, zero, ())]), [], {})
    assert Strength.DISQUALIFYING in strengths(made)


def test_blocks_that_stand_for_more_weigh_more() -> None:
    """A large tensor of which a part was looked at counts with all its values."""
    ones = np.ones((10, 10), np.float32)
    blocks = [Block("large", 20.0, ones, -ones, ()), Block("small", 1.0, ones, 2 * ones, ())]
    made = check_lineage(measure(blocks), [], {})
    assert "95% of them" in made.findings[0].summary
    assert "9.5% of their values" in made.reason


def test_every_tensor_is_told_with_its_movement() -> None:
    (row, *_) = [row for row in rows_of(measure(blocks_of(HONEST)), [SIBLING]) if row["tensor"] == "mlp"]
    assert row["relative_norm"] == pytest.approx(0.1, abs=0.01)
    assert row["cosine"] == pytest.approx(0.995, abs=0.005)
    assert row["effective_rank"] == pytest.approx(
        100 * 60 / 160, rel=0.4
    )  # noise: rows x columns / their sum
    assert (row["unchanged"], row["zeroed"]) == (0, 0)
    assert abs(row["movement_cosines"][SIBLING]) < 0.1  # type: ignore[index]
