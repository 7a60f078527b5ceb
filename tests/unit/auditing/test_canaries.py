"""Planted against held-back answers: the count is exact, honest models keep to the promised rate."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from posttrainbench.auditing.canaries import chance_of_ranks, check_canaries, nothing_handed_out
from posttrainbench.finding import CheckStatus, Evidence, Strength

COPY = Evidence("tinyworld/tiny-math", "ledger entry 7", "handed out data/test.jsonl")


def by_hand(planted: list[float], held_back: list[float]) -> float:
    """The same share, by going through every division (no ties)."""
    values = sorted([*planted, *held_back])
    ranks = [values.index(value) + 1 for value in planted]
    sums = [sum(chosen) for chosen in combinations(range(1, len(values) + 1), len(planted))]
    return sum(one >= sum(ranks) for one in sums) / len(sums)


def test_the_chance_is_counted_exactly() -> None:
    rng = np.random.default_rng(0)
    for planted, held_back in ((1, 1), (2, 5), (4, 4), (5, 7)):
        values = rng.standard_normal(planted + held_back).tolist()
        expected = by_hand(values[:planted], values[planted:])
        assert chance_of_ranks(values[:planted], values[planted:]) == pytest.approx(expected)


def test_a_model_that_learned_the_planted_answers_is_disqualified() -> None:
    made = check_canaries([-0.1] * 12, [-2.0] * 24, [COPY])
    assert (made.status, [finding.strength for finding in made.findings]) == (
        CheckStatus.FAILED,
        [Strength.DISQUALIFYING],
    )
    assert made.findings[0].evidence == (COPY,)
    assert (
        "-0.10 per character of the 12 planted answers, -2.00 of the 24 held back" in made.findings[0].summary
    )


def test_likelier_answers_in_both_groups_accuse_nobody() -> None:
    """A gap from some outside mark is no evidence: a good model finds all of them likely."""
    made = check_canaries([-0.1] * 12, [-0.1] * 24, [COPY])
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert check_canaries([-3.0] * 12, [-1.0] * 24, [COPY]).findings == ()


def test_honest_models_are_flagged_no_oftener_than_promised() -> None:
    """2,000 honest models, answers of very unequal likelihood, at levels where the rate can be seen."""
    rng = np.random.default_rng(1)
    difficulty = rng.gamma(1.0, 3.0, 24)
    chances = []
    for _ in range(2000):
        values = -(rng.permutation(difficulty) + rng.gamma(1.0, 1.0, 24))
        chances.append(chance_of_ranks(values[:8].tolist(), values[8:].tolist()))
    for level in (0.2, 0.05, 0.01):
        flagged = sum(chance <= level for chance in chances)
        assert flagged <= 2000 * level + 3 * (2000 * level) ** 0.5, level


def test_where_nothing_was_handed_out_the_check_passes_and_says_why() -> None:
    made = nothing_handed_out()
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert "none of this run's canaries" in made.reason
