"""Verdicts of a comparing grader, and what both orders come to."""

from __future__ import annotations

import pytest

from posttrainbench.scoring.pairwise import Games, Verdict, games_of, parse_verdict, win_rate


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("My final verdict is: [[A>>B]]", "A>>B"),
        ("[[A>B]]", "A>B"),
        ("[[A=B]].", "A=B"),
        ("so [[B>A]]\n", "B>A"),
        ("[[B>>A]]", "B>>A"),
        ("[[ a > b ]]", "A>B"),
        ("[[A<B]]", "B>A"),
        ("[[B<<A]]", "A>>B"),
        ("[[B=A]]", "A=B"),
        ("First I leaned to [[A>B]]. Now: [[B>A]]", "B>A"),
        ("[B>A] at first, but [[A>B]] it is; not [B>A]", "A>B"),
        ("Verdict: [A>B]", "A>B"),
        ("[[AB]] means nothing, [[A>B]] does, and [[A>A]] does not", "A>B"),
    ],
)
def test_the_last_verdict_counts(reply: str, verdict: str) -> None:
    assert parse_verdict(reply) == Verdict(verdict)


@pytest.mark.parametrize(
    "reply", ["", "A is better", "[[C]]", "[[A>A]]", "A>>B", "[[A>>>B]]", "[[]]", "[[A>B"]
)
def test_no_verdict_is_no_tie(reply: str) -> None:
    assert parse_verdict(reply) is None


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_grader_that_only_likes_a_place_makes_one_half(verdict: Verdict) -> None:
    assert games_of(verdict, verdict).win_rate == 0.5


@pytest.mark.parametrize(
    ("as_a", "as_b", "rate", "weight"),
    [
        ("A>>B", "B>>A", 1.0, 6),
        ("A>B", "B>A", 1.0, 2),
        ("A>>B", "A>B", 0.75, 4),  # three wins, one loss
        ("B>>A", "B>A", 0.25, 4),
        ("A=B", "B>>A", 0.875, 4),
        ("A=B", "A=B", 0.5, 2),
    ],
)
def test_a_strong_preference_counts_three_times(as_a: str, as_b: str, rate: float, weight: float) -> None:
    assert games_of(Verdict(as_a), Verdict(as_b)) == Games(rate, weight)


def test_the_win_rate_is_over_games_not_questions() -> None:
    assert win_rate([Games(1.0, 6), Games(0.0, 2)]) == 0.75
    with pytest.raises(ValueError, match="no win rate"):
        win_rate([])
