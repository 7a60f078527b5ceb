"""Two answers compared by a grader, in both orders: its verdicts, and what they count.

Hard cases, each with a row in the tests:
- a grader thinks aloud: the last verdict in its reply counts, `[[A>B]]` before `[A>B]`, however it is spaced;
- `[[B<A]]` is `[[A>B]]`; labels that name one answer twice, or none, are no verdict;
- a reply without a verdict is None, never a tie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STRONG_WEIGHT = 3  # a strong preference counts as three games


class Verdict(StrEnum):
    """What a grader says of answers A and B."""

    A_MUCH_BETTER = "A>>B"
    A_BETTER = "A>B"
    TIE = "A=B"
    B_BETTER = "B>A"
    B_MUCH_BETTER = "B>>A"


@dataclass(frozen=True, slots=True)
class Games:
    """What a question's games came to for the candidate: `win_rate` in [0, 1], over `weight` games."""

    win_rate: float
    weight: float


_BRACKETS = (re.compile(r"\[\[([AB<>=\s]+)\]\]"), re.compile(r"\[([AB<>=\s]+)\]"))
_MIRRORED = {"B<<A": "A>>B", "B<A": "A>B", "B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A"}
_CANDIDATE_AS_A = {  # verdict -> (share of the win, games it counts)
    Verdict.A_MUCH_BETTER: (1.0, STRONG_WEIGHT),
    Verdict.A_BETTER: (1.0, 1),
    Verdict.TIE: (0.5, 1),
    Verdict.B_BETTER: (0.0, 1),
    Verdict.B_MUCH_BETTER: (0.0, STRONG_WEIGHT),
}


def parse_verdict(reply: str) -> Verdict | None:
    """The verdict that a grader's reply ends with, or None when it holds none."""
    for brackets in _BRACKETS:
        labels = ["".join(found.split()) for found in brackets.findall(reply.upper())]
        verdicts = [_MIRRORED.get(label, label) for label in labels]
        known = [verdict for verdict in verdicts if verdict in set(Verdict)]
        if known:
            return Verdict(known[-1])
    return None


def games_of(as_a: Verdict, as_b: Verdict) -> Games:
    """Both games of a question: the candidate was answer A in one and answer B in the other.

    Source: Arena-Hard (Li et al., arXiv 2406.11939): both orders, so that a grader's liking for a place
    cancels out; strong preferences weigh three times.
    """
    share_a, weight_a = _CANDIDATE_AS_A[as_a]
    share_b, weight_b = _CANDIDATE_AS_A[as_b]
    won = share_a * weight_a + (1.0 - share_b) * weight_b
    return Games(won / (weight_a + weight_b), float(weight_a + weight_b))


def win_rate(games: Sequence[Games]) -> float:
    """The mean over all games of all questions, ties one half.

    Raises:
        ValueError: no games.
    """
    if not games:
        raise ValueError("no win rate without games")
    return sum(game.win_rate * game.weight for game in games) / sum(game.weight for game in games)
