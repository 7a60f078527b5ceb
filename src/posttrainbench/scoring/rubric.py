"""Answers graded criterion by criterion: the grader's replies, and the points they come to.

Hard cases, each with a row in the tests:
- the reply may be fenced as `json`, fenced bare or not at all, and prose may stand around it: the last
  object with the field counts;
- `criteria_met` must be true or false: "true", 1 and null are no grade;
- a reply without a grade is None, never "not met";
- negative criteria take points off and are not part of what is possible; a sample may end below zero, only
  means are clipped to [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIELD = "criteria_met"
LONGEST_CHARACTERS = 100_000
OBJECTS_CAP = 200  # how many opening braces are tried, from the end


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of a rubric: what to look for, what it earns (below zero: costs), what it belongs to."""

    text: str
    points: int
    tags: tuple[str, ...] = ()


def parse_grade(reply: str) -> bool | None:
    """Whether the grader says that a criterion is met, or None when its reply does not say."""
    text = reply[-LONGEST_CHARACTERS:]
    decoder = json.JSONDecoder()
    end = len(text)
    for _ in range(OBJECTS_CAP):
        end = text.rfind("{", 0, end)
        if end < 0:
            return None
        try:
            value, _ = decoder.raw_decode(text, end)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get(FIELD), bool):
            return bool(value[FIELD])
    return None


def points_share(rubric: Sequence[Criterion], met: Sequence[bool]) -> float | None:
    """Points achieved / points possible; None when nothing can be gained. Below 0 when penalties prevail.

    Source: HealthBench (Arora et al., arXiv 2505.08775), section on scoring.
    """
    possible = sum(criterion.points for criterion in rubric if criterion.points > 0)
    if possible == 0:
        return None
    return sum(c.points for c, is_met in zip(rubric, met, strict=True) if is_met) / possible


def shares_by_tag(rubric: Sequence[Criterion], met: Sequence[bool], prefix: str) -> Mapping[str, float]:
    """Tag -> points share over the criteria that carry it, for tags that start with `prefix`."""
    tags = sorted({tag for criterion in rubric for tag in criterion.tags if tag.startswith(prefix)})
    shares = {tag: _share_of(tag, rubric, met) for tag in tags}
    return {tag: share for tag, share in shares.items() if share is not None}


def _share_of(tag: str, rubric: Sequence[Criterion], met: Sequence[bool]) -> float | None:
    chosen = [(c, is_met) for c, is_met in zip(rubric, met, strict=True) if tag in c.tags]
    return points_share([c for c, _ in chosen], [is_met for _, is_met in chosen])
