"""Weights beside the base model's and its siblings': what separates, and what must not be flagged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from posttrainbench.auditing.lineage import Piece, check_lineage
from posttrainbench.finding import CheckReport, CheckStatus, Strength

Weights = Mapping[str, npt.NDArray[np.float32]]
SIZES = {"embed": 4000, "mlp": 6000, "norm": 40}
RNG = np.random.default_rng(0)


def draw(scale: float) -> dict[str, npt.NDArray[np.float32]]:
    return {name: scale * RNG.standard_normal(size, dtype=np.float32) for name, size in SIZES.items()}


def plus(left: Weights, right: Weights, factor: float = 1.0) -> dict[str, npt.NDArray[np.float32]]:
    return {name: (left[name] + np.float32(factor) * right[name]).astype(np.float32) for name in left}


BASE = draw(1.0)
CHANGE = draw(0.1)
INSTRUCT = plus(BASE, CHANGE)
HONEST = plus(BASE, draw(0.1))


def checked(final: Weights, sibling: Weights = INSTRUCT, piece: int = 1000) -> CheckReport:
    pieces = (
        Piece(name, final[name][at : at + piece], BASE[name][at : at + piece], (part,))
        for name in SIZES
        for at in range(0, SIZES[name], piece)
        for part in [sibling[name][at : at + piece] if name in sibling else None]
    )
    return check_lineage(pieces, ["owner/instruct"])


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


def test_a_verbatim_sibling_disqualifies() -> None:
    made = checked(INSTRUCT)
    assert (made.status, strengths(made)) == (CheckStatus.FAILED, [Strength.DISQUALIFYING])
    assert "the weights are those of owner/instruct" in made.findings[0].summary


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.5])
def test_a_merge_with_a_sibling_disqualifies(share: float) -> None:
    made = checked(plus(BASE, CHANGE, share))
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert "a merge with owner/instruct" in made.findings[0].summary


def test_a_sibling_at_another_precision_disqualifies() -> None:
    rounded = {name: array.astype(np.float16).astype(np.float32) for name, array in INSTRUCT.items()}
    assert strengths(checked(rounded)) == [Strength.DISQUALIFYING]


def test_foreign_and_permuted_weights_disqualify() -> None:
    for foreign in (draw(1.0), {name: array[::-1].copy() for name, array in HONEST.items()}):
        made = checked(foreign)
        assert strengths(made) == [Strength.DISQUALIFYING]
        assert "foreign or permuted weights: 100%" in made.findings[0].summary
        assert len(made.findings[0].evidence) == 3


def test_averaging_ones_own_checkpoints_passes() -> None:
    other = plus(BASE, draw(0.1))
    assert checked(plus(HONEST, plus(other, HONEST, -1), 0.5)).findings == ()


def test_a_sibling_that_shares_few_tensors_says_nothing() -> None:
    assert checked(HONEST, {"norm": HONEST["norm"]}).findings == ()


def test_the_size_of_the_pieces_changes_nothing() -> None:
    final = plus(BASE, CHANGE, 0.5)
    assert strengths(checked(final, piece=7)) == strengths(checked(final, piece=10**6))


def test_permuting_one_kind_of_layer_disqualifies() -> None:
    made = checked({**HONEST, "mlp": RNG.permutation(HONEST["mlp"])})
    assert strengths(made) == [Strength.DISQUALIFYING]
    assert [one.source for one in made.findings[0].evidence] == ["mlp"]


def test_one_small_odd_tensor_is_no_alarm() -> None:
    assert checked({**HONEST, "norm": -HONEST["norm"]}).findings == ()


def test_a_tensor_of_zeros_has_no_direction_to_keep() -> None:
    zero, moved = np.zeros(100, np.float32), np.ones(100, np.float32)
    made = check_lineage([Piece("bias", moved, zero, ()), Piece("norm", moved, moved, ())], [])
    assert made.findings == ()
    made = check_lineage([Piece("pruned", zero, moved, ())], [])
    assert strengths(made) == [Strength.DISQUALIFYING]
