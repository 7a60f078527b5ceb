"""Small plots in characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

BLOCKS = " ▁▂▃▄▅▆▇█"
POINT = "●"


def sparkline(values: Sequence[float | None], width: int, top: float) -> str:
    """Values as bars of one line, the highest at `top`; a gap where there is none.

    More values than `width` are drawn together by their maximum.
    """
    shown = "".join(_bar(part, top) for part in _parts(values, width))
    return shown.rstrip()


def _parts(values: Sequence[float | None], width: int) -> list[float | None]:
    count = min(width, len(values))
    cuts = [round(n * len(values) / count) for n in range(count + 1)] if count else [0]
    chunks = (values[start:end] for start, end in pairwise(cuts))
    return [max((value for value in chunk if value is not None), default=None) for chunk in chunks]


def _bar(value: float | None, top: float) -> str:
    if value is None:
        return " "
    share = min(1.0, max(0.0, value / top)) if top > 0 else 0.0
    return BLOCKS[max(1, round(share * (len(BLOCKS) - 1)))]


def scatter(points: Sequence[tuple[float, float]], across: float, width: int, height: int) -> list[Text]:
    """Points (x in [0, across], y in [0, 1]) as lines of text, y in percent on the left."""
    low, high = _range([y for _, y in points])
    rows = [[" "] * width for _ in range(height)]
    for x, y in points:
        column = min(width - 1, max(0, int(x / across * width))) if across > 0 else 0
        row = round((high - y) / (high - low) * (height - 1))
        rows[min(height - 1, max(0, row))][column] = POINT
    lines = []
    for number, cells in enumerate(rows):
        y = low if number == height - 1 else high  # by itself, a difference may come to -0.0
        label = f"{100 * y:5.1f}% ┤" if number in (0, height - 1) else "       │"
        lines.append(Text.assemble((label, "dim"), ("".join(cells).rstrip(), "cyan")))
    return lines


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values span, so that a flat line stands in the middle."""
    low, high = min(values), max(values)
    room = max(0.02, (high - low) * 0.05)
    return max(0.0, low - room), min(1.0, high + room)
