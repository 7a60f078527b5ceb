"""A leaderboard as a picture: one self-contained SVG, light card, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from posttrainbench.leaderboard import Entry, Leaderboard, Mark, PublishedEntry
from posttrainbench.report import wording
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points

WIDTH = 930
LEFT = 214  # where bars begin
RIGHT = 700  # where the axis ends; what is beside it is for words
TOP = 108
ROW = 38
BAR = 20
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, SOFT, LINE, CARD = "#1c2330", "#5f6b7c", "#dde2ea", "#ffffff"
BLUE, LIGHT_BLUE, RED, GREY, AMBER = "#2f6fde", "#b9cff6", "#c93a3a", "#a9b2bf", "#b7791f"
REFERENCE_WORDS = {"base": "base", "few_shot": "few-shot", "instruct": "instruct"}


@dataclass(frozen=True, slots=True)
class _Scale:
    """Fractions to x positions; the axis ends at a round percentage."""

    end: float

    def x(self, fraction: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(max(fraction, 0.0), self.end) / self.end

    def ticks(self) -> list[float]:
        step = next(step for step in (0.05, 0.1, 0.2) if self.end / step <= 6)
        return [n * step for n in range(int(self.end / step + 1e-9) + 1)]


def leaderboard_svg(leaderboard: Leaderboard) -> str:
    """The picture: a bar per agent with its standard error, in the leaderboard's order.

    An entry half of whose runs are disqualified is hatched, with an outline where its own score would have
    put it; as many failures make it grey; partial means are pale, and so is what others published. All text
    is escaped.
    """
    scale = _scale(leaderboard)
    rows = wording.rows(leaderboard)
    bottom = TOP + ROW * len(rows)
    footer = list(_footer(leaderboard, bottom))
    height = bottom + 66 + 18 * max(len(footer) - 1, 0)
    body = [
        *_heading(leaderboard),
        *_axis(scale, bottom),
        *_reference_lines(leaderboard, scale, bottom),
        *(
            piece
            for position, entry in enumerate(rows)
            for piece in (
                _row(entry, leaderboard, scale, TOP + ROW * position)
                if isinstance(entry, Entry)
                else _published_row(entry, scale, TOP + ROW * position)
            )
        ),
        *footer,
    ]
    name = _text(wording.title(leaderboard))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="{FONT}">\n'
        f"<title>{name}</title>\n<desc>{_text(_description(leaderboard))}</desc>\n{_DEFINITIONS}\n"
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" '
        f'fill="{CARD}" stroke="{LINE}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


_DEFINITIONS = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)">'
    f'<rect width="7" height="7" fill="#f7dcdc"/><rect width="2.6" height="7" fill="{RED}"/></pattern></defs>'
)


def _scale(leaderboard: Leaderboard) -> _Scale:
    values = [reference.total for reference in leaderboard.references]
    values += [entry.mean + (entry.sd or 0.0) for entry in _published(leaderboard)]
    for entry in leaderboard.entries:
        values += [value for value in (entry.partial, _outline(entry)) if value is not None]
        if entry.total:
            values.append(entry.total.mean + (wording.best_error(entry.total) or 0.0))
    highest = max(values, default=1.0)
    return _Scale(min(1.0, max(0.1, math.ceil(highest * 10 - 1e-9) / 10)))


def _published(leaderboard: Leaderboard) -> tuple[PublishedEntry, ...]:
    return leaderboard.published.entries if leaderboard.published else ()


def _outline(entry: Entry) -> float | None:
    """Where a disqualified entry's own score would have put it."""
    return entry.submitted if _is_disqualified(entry) else None


def _is_disqualified(entry: Entry) -> bool:
    """Whether at least half of its runs are; with fewer, a count beside its bar says how many."""
    bad, runs = _count(entry, Mark.DISQUALIFIED)
    return 2 * bad >= runs


def _count(entry: Entry, mark: Mark) -> tuple[int, int]:
    """How many of an entry's runs bear a mark, and how many there are."""
    runs = [run for cell in entry.cells for run in cell.runs]
    return sum(mark in run.marks for run in runs), len(runs)


def _heading(leaderboard: Leaderboard) -> Iterator[str]:
    subtitle = (
        f"{len(leaderboard.base_models)} base models on {len(leaderboard.benchmarks)} benchmarks, "
        "weighted mean score in percent"
    )
    yield _label(24, 36, wording.title(leaderboard), INK, size=18, weight=600)
    yield _label(24, 58, subtitle, SOFT, size=13)


def _axis(scale: _Scale, bottom: float) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale.x(tick)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{LINE}"/>'
        yield _label(x, bottom + 18, f"{100 * tick:.0f}", SOFT, size=11, anchor="middle")


def _reference_lines(leaderboard: Leaderboard, scale: _Scale, bottom: float) -> Iterator[str]:
    words_end, lift = -math.inf, 0
    for reference in sorted(leaderboard.references, key=lambda reference: reference.total):
        x = scale.x(reference.total)
        lift = 14 if x - 50 < words_end and not lift else 0  # labels that would touch go up in turn
        words_end = x + 50
        word = f"{REFERENCE_WORDS.get(reference.kind, reference.kind)} {points(reference.total)}"
        yield (
            f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{SOFT}" '
            'stroke-width="1.2" stroke-dasharray="3 3"/>'
        )
        yield _label(x, TOP - 11 - lift, word, SOFT, size=11, anchor="middle")


def _row(entry: Entry, leaderboard: Leaderboard, scale: _Scale, top: float) -> Iterator[str]:
    middle = top + ROW / 2
    rank = wording.rank_text(entry, leaderboard)
    yield _label(40, middle + 4.5, rank, SOFT, size=13, anchor="end")
    weight = 600 if entry.rank == 1 else 400
    yield _label(
        LEFT - 12, middle + 4.5, visible(entry.label, 21), INK, size=13.5, anchor="end", weight=weight
    )
    value = entry.total.mean if entry.total else entry.partial
    outline = _outline(entry)
    if outline is not None:
        yield _bar(
            scale, outline, middle, f'fill="none" stroke="{RED}" stroke-width="1.2" stroke-dasharray="4 3"'
        )
    if value is not None:
        yield _bar(scale, value, middle, _fill(entry))
    if entry.total:
        yield from _error_bar(scale, entry.total.mean, wording.best_error(entry.total), middle)
    yield from _words(entry, middle)


def _published_row(entry: PublishedEntry, scale: _Scale, top: float) -> Iterator[str]:
    """What others published: no rank, no runs to look at; the error of the mean where it is known."""
    middle = top + ROW / 2
    label = visible(entry.label, 33)
    yield _label(LEFT - 12, middle + 4, label, SOFT, size=11, anchor="end")
    yield _bar(scale, entry.mean, middle, f'fill="{LIGHT_BLUE}"')
    error = None if entry.sd is None or entry.runs < 2 else entry.sd / math.sqrt(entry.runs)
    yield from _error_bar(scale, entry.mean, error, middle)
    spread = f" ± {points(error)}" if error is not None else ""
    yield _label(RIGHT + 16, middle + 4.5, points(entry.mean) + spread, SOFT, size=13)
    yield _label(WIDTH - 20, middle + 4.5, "published", SOFT, size=11, anchor="end")


def _bar(scale: _Scale, value: float, middle: float, look: str) -> str:
    width = max(scale.x(value) - LEFT, 1.5)
    return f'<rect x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{width:.1f}" height="{BAR}" rx="2" {look}/>'


def _fill(entry: Entry) -> str:
    if entry.total is None:
        return f'fill="{LIGHT_BLUE}" fill-opacity="0.55" stroke="{BLUE}" stroke-dasharray="2 2"'
    if _is_disqualified(entry):
        return 'fill="url(#hatch)"'
    failed, runs = _count(entry, Mark.FAILED)
    return f'fill="{GREY if 2 * failed >= runs else BLUE}"'


def _error_bar(scale: _Scale, mean: float, error: float | None, middle: float) -> Iterator[str]:
    if error is None:
        return
    low, high = scale.x(mean - error), scale.x(mean + error)
    yield (
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}'
        f'M{low:.1f} {middle - 5:.1f}v10M{high:.1f} {middle - 5:.1f}v10" '
        f'stroke="{INK}" stroke-width="1.4" fill="none"/>'
    )


def _words(entry: Entry, middle: float) -> Iterator[str]:
    """Beside the bar: the score with its error, and what a reader must know of it."""
    error = wording.best_error(entry.total) if entry.total else None
    spread = f" ± {points(error)}" if error is not None else ""
    yield _label(RIGHT + 16, middle + 4.5, wording.score_text(entry) + spread, INK, size=13, weight=600)
    words = {
        Mark.DISQUALIFIED: ("disqualified", RED),
        Mark.FAILED: ("failed", SOFT),
        Mark.MISSING: ("missing", SOFT),
        Mark.SUSPICIOUS: ("suspicious", AMBER),
        Mark.UNKNOWN: ("unknown", AMBER),
        Mark.NOT_ISOLATED: ("not isolated", AMBER),
    }
    if entry.marks:
        word, colour = words[entry.marks[0]]
        marked, runs = _count(entry, entry.marks[0])
        word = word if marked == runs else f"{marked}/{runs} {word}"
        yield _label(WIDTH - 20, middle + 4.5, word, colour, size=11, anchor="end")


def _footer(leaderboard: Leaderboard, bottom: float) -> Iterator[str]:
    lines = ["Lines on bars: one standard error."]
    if any(_outline(entry) is not None for entry in leaderboard.entries):
        lines[0] += (
            " Hatched: disqualified; the dashed outline is what its own models scored, which does not count."
        )
    if leaderboard.published:
        lines.append(f"Published, not run here: {visible(leaderboard.published.source, 100)}.")
    lines.append(f"Policy {leaderboard.policy}: {leaderboard.policy_text}.")
    suite = f"{visible(leaderboard.suite, 40)} {visible(leaderboard.suite_version, 40)}"
    lines.append(f"Suite {suite}, digest {leaderboard.suite_digest[:16]}.")
    for position, line in enumerate(lines):
        yield _label(24, bottom + 48 + 18 * position, line, SOFT, size=11)


def _description(leaderboard: Leaderboard) -> str:
    return "; ".join(
        f"{visible(entry.label, 60)}: {wording.score_text(entry)} percent"
        + "".join(f", {wording.MARKS[mark][2]}" for mark in entry.marks)
        for entry in leaderboard.entries
    )


def _label(
    x: float, y: float, text: str, colour: str, *, size: float, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{_text(text)}</text>'
    )


def _text(text: str) -> str:
    return escape(visible(text, 2000), {'"': "&quot;"})
