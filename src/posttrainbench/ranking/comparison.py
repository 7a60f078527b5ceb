"""Two agents on the same tasks: by how much one is ahead, and how likely it is that it really is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posttrainbench.ranking.bootstrap import RANGE, Drawn


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two agents' draws say of each other. Fractions; `low` to `high` holds 95 % of the differences."""

    first: str
    second: str
    difference: float  # mean of first - second over the draws
    low: float
    high: float
    first_beats_second: float  # share of draws; equal totals count half
    draws: int
    items: int  # drawn for both at once
    left_out: tuple[str, ...]


def compare(first: Drawn, second: Drawn) -> Comparison:
    """The paired comparison of two entries that were drawn together (by one `draw_entries`)."""
    differences = first.totals - second.totals
    low, high = np.quantile(differences, RANGE)
    left_out = [f"{one.label}: {what}" for one in (first, second) for what in one.left_out]
    return Comparison(
        first=first.label,
        second=second.label,
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        first_beats_second=float((differences > 0).mean() + 0.5 * (differences == 0).mean()),
        draws=len(differences),
        items=min(first.items, second.items),
        left_out=tuple(left_out),
    )
