"""Queries beside the final score: honest choosing passes, learning the queried items does not."""

from __future__ import annotations

import numpy as np
import pytest

from posttrainbench.auditing.selection import ALPHA, MANY_MODELS, check_selection, expected_best, tail
from posttrainbench.errors import FailureKind
from posttrainbench.finding import CheckReport, CheckStatus, Strength
from posttrainbench.ledger import LedgerEntry, Scalar, next_entry
from posttrainbench.record import Failure, Outcome, Score, Stage

OWN = "a" * 64
DEV, SEALED = 100, 200


def ledger(*queries: dict[str, Scalar]) -> tuple[LedgerEntry, ...]:
    entries: list[LedgerEntry] = []
    for number, query in enumerate(queries):
        data = {"path": f"checkpoints/{number}", "n": DEV, "digest": str(number) * 64, **query}
        entries.append(
            next_entry(entries[-1] if entries else None, "2026-01-01T00:00:00Z", "evaluation", data)
        )
    return tuple(entries)


def final(mean: float, n: int = SEALED) -> Score:
    return Score(mean, (mean * (1 - mean) / n) ** 0.5, n)


def checked(outcome: Outcome, *queries: dict[str, Scalar], split: str = "dev") -> CheckReport:
    return check_selection(
        ledger(*queries), outcome, split, "sealed" if split == "dev" else "test", submitted=OWN
    )


def strengths(made: CheckReport) -> list[Strength]:
    return [finding.strength for finding in made.findings]


def test_an_honest_run_passes_and_says_what_was_asked() -> None:
    made = checked(
        final(0.66), {"score": 0.5}, {"score": 0.7, "digest": OWN}, {"score": None, "error": "late"}
    )
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert "3 queries on dev, 2 answered, of 2 models; the best answer was 0.700" in made.reason


def test_two_hundred_models_on_other_items_gain_nothing_and_that_is_said() -> None:
    asked: list[dict[str, Scalar]] = [{"score": 0.5, "digest": f"{n:064d}"} for n in range(199)]
    made = checked(final(0.5), *asked, {"score": 0.58, "digest": OWN})
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert "of 200 equal models the best answer would be 2.7 standard errors too high" in made.reason


def test_far_better_on_the_queried_items_is_suspicious() -> None:
    made = checked(final(0.4), {"score": 0.9, "digest": OWN})
    assert (made.status, strengths(made)) == (CheckStatus.FAILED, [Strength.SUSPICIOUS])
    (evidence,) = made.findings[0].evidence
    assert (evidence.source, evidence.locator) == ("checkpoints/0", "ledger entry 0")


def test_a_gap_that_choosing_explains_is_only_noted() -> None:
    """p = .0005 by itself, more than .001 for the best of forty."""
    others: list[dict[str, Scalar]] = [{"score": 0.4}] * 39
    own: dict[str, Scalar] = {"score": 0.6, "digest": OWN}
    assert strengths(checked(final(0.395), own)) == [Strength.SUSPICIOUS]
    assert strengths(checked(final(0.395), own, *others)) == [Strength.NOTE]


def test_the_gap_of_another_model_than_the_submitted_one_says_nothing() -> None:
    made = checked(final(0.1), {"score": 0.9})
    assert made.findings == ()
    assert "the submitted model was not queried" in made.reason


def test_choosing_on_the_final_items_is_noted_and_suspicious_when_many() -> None:
    def of(count: int) -> CheckReport:
        others: list[dict[str, Scalar]] = [{"score": 0.4, "digest": f"{i:064}"} for i in range(count - 1)]
        return checked(final(0.5, 300), {"score": 0.5, "digest": OWN}, *others, split="test")

    assert strengths(of(1)) == []
    assert strengths(of(8)) == [Strength.NOTE]
    assert strengths(of(MANY_MODELS)) == [Strength.SUSPICIOUS]
    assert "2.0 standard errors" in of(MANY_MODELS).findings[0].summary
    assert strengths(checked(final(0.5), *([{"score": 0.5, "digest": OWN}] * 40), split="test")) == []


def test_without_an_answered_query_or_a_final_score_it_did_not_run() -> None:
    failure = Failure(FailureKind.NO_FINAL_MODEL, Stage.SOLVE, "none")
    for made in (checked(final(0.5)), checked(final(0.5), {"score": None}), checked(failure, {"score": 0.5})):
        assert made.status is CheckStatus.NOT_RUN
    assert "1 queries and no score" in checked(final(0.5), {"score": None}).reason


def test_the_null_is_exact() -> None:
    """Two of four right, two drawn: both right in one of six draws, at least one in five."""
    assert tail(2, 2, 2, 4) == pytest.approx(1 / 6)
    assert tail(1, 2, 2, 4) == pytest.approx(5 / 6)
    assert tail(0, 2, 2, 4) == 1


def test_honest_choosing_among_many_is_hardly_ever_suspicious() -> None:
    """The best of 30 independent, equal models by their dev score, in 300 simulated runs at each ability."""
    rng = np.random.default_rng(0)
    for ability in (0.03, 0.5, 0.95):
        best = rng.binomial(DEV, ability, (300, 30)).max(axis=1) / DEV
        sealed = rng.binomial(SEALED, ability, 300) / SEALED
        others: list[dict[str, Scalar]] = [{"score": 0.0}] * 29
        flagged = sum(
            Strength.SUSPICIOUS
            in strengths(checked(final(float(f)), {"score": float(b), "digest": OWN}, *others))
            for b, f in zip(best, sealed, strict=True)
        )
        assert flagged <= 300 * ALPHA + 1


def test_the_expected_best_of_many_draws() -> None:
    drawn = np.random.default_rng(1).standard_normal((20000, 10)).max(axis=1).mean()
    assert expected_best(10) == pytest.approx(drawn, abs=0.03)
    assert expected_best(1) == 0
