"""Conversations, and the form in which a grader reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """Who says what."""

    role: str
    content: str


def as_text(turns: Iterable[Turn]) -> str:
    """`role: content`, a blank line between turns: the form that HealthBench's grader knows."""
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
