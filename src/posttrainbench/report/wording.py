"""How a leaderboard's facts are put into words: the same words in every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from posttrainbench.leaderboard import Entry, Estimate, Leaderboard, Mark, PublishedEntry
from posttrainbench.ranking.comparison import Comparison
from posttrainbench.report.visible import visible

MARKS = {  # symbol, symbol where only ASCII can be shown, meaning
    Mark.DISQUALIFIED: ("✗", "X", "disqualified"),
    Mark.FAILED: ("!", "!", "failed: no score"),
    Mark.MISSING: ("○", "o", "no record"),
    Mark.SUSPICIOUS: ("~", "~", "suspicious, counted"),
    Mark.UNKNOWN: ("?", "?", "unknown: not fully checked, counted"),
    Mark.DISPUTED: ("§", "d", "verdict disputed"),
    Mark.NOT_ISOLATED: ("^", "^", "run without isolation"),
}
REFERENCES = {
    "base": "base models, zero-shot",
    "few_shot": "base models, few-shot",
    "instruct": "instruct models",
}
PUBLISHED = ("†", "p")  # symbol of what others published, and where only ASCII can be shown
DASH = "\u2013"  # where there is no number
NOVEL = "novel"  # the part of the samples that shows more than recall


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader must know of one agent, in a line."""

    mark: Mark
    agent: str
    text: str


def points(fraction: float | None, nothing: str = DASH) -> str:
    """`61.0`: a fraction as percent with one decimal, without the sign."""
    return nothing if fraction is None else f"{100 * fraction:.1f}"


def symbols(marks: tuple[Mark, ...], ascii_only: bool = False) -> str:
    """The marks' symbols, `✗~`."""
    return "".join(MARKS[mark][1 if ascii_only else 0] for mark in marks)


def rank_text(entry: Entry, leaderboard: Leaderboard) -> str:
    """`2`, `2=` where the rank is shared, nothing where there is none."""
    if entry.rank is None:
        return ""
    shared = sum(other.rank == entry.rank for other in leaderboard.entries) > 1
    return f"{entry.rank}=" if shared else str(entry.rank)


def ranks_text(entry: Entry, ascii_only: bool = False) -> str:
    """First and last of the ranks that the data allow, a dash between; nothing where none were drawn."""
    if entry.ranks is None:
        return ""
    dash = "-" if ascii_only else DASH
    best, worst = entry.ranks.best, entry.ranks.worst
    return str(best) if best == worst else f"{best}{dash}{worst}"


def rows(leaderboard: Leaderboard) -> list[Entry | PublishedEntry]:
    """The entries, with what others published among the ranked ones by score."""
    ranked = [entry for entry in leaderboard.entries if entry.total]
    published = leaderboard.published.entries if leaderboard.published else ()
    both: list[Entry | PublishedEntry] = [*ranked, *published]
    by_score = sorted(both, key=_shown_score, reverse=True)
    return [*by_score, *(entry for entry in leaderboard.entries if not entry.total)]


def _shown_score(entry: Entry | PublishedEntry) -> float:
    if isinstance(entry, PublishedEntry):
        return entry.mean
    return entry.total.mean if entry.total else 0.0


def comparison_lines(comparison: Comparison) -> list[str]:
    """What a comparison of two agents comes to: plain text, the answer first."""
    first, second = visible(comparison.first, 60), visible(comparison.second, 60)
    shared = (
        f"over runs and {comparison.items} items that both answered"
        if comparison.items
        else "over runs; what single items scored is not known of both, so nothing is paired"
    )
    lines = [
        f"{first} beats {second} with probability {_probability(comparison)}",
        f"difference {_signed(comparison.difference)} points, 95% interval "
        f"{_signed(comparison.low)} to {_signed(comparison.high)}",
        f"{comparison.draws} bootstrap draws {shared}",
    ]
    return lines + [f"not in it: {visible(what, 150)}" for what in comparison.left_out]


def _probability(comparison: Comparison) -> str:
    """Two decimals, and never a certainty that so many draws cannot show."""
    p, least = comparison.first_beats_second, 1.0 / comparison.draws
    if p < least:
        return f"below {least:g}"
    if p > 1.0 - least:
        return f"above {1.0 - least:g}"
    return f"{p:.2f}" if 0.01 <= p <= 0.99 else f"{p:.3f}"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def score_text(entry: Entry) -> str:
    """`61.0`; `(40.2)` for a partial mean, a dash for none."""
    if entry.total is None and entry.partial is not None:
        return f"({points(entry.partial)})"
    return points(entry.total.mean if entry.total else None)


def best_error(estimate: Estimate) -> float | None:
    """One standard error: of items and seeds together where it is known, else of the items alone."""
    return estimate.sampling_stderr if estimate.total_stderr is None else estimate.total_stderr


def notes(leaderboard: Leaderboard) -> list[Note]:
    """What stands under the table: why cells do not count as their own score, and what else to know."""
    return [note for entry in leaderboard.entries for note in _notes_of(entry)]


def _notes_of(entry: Entry) -> Iterator[Note]:
    runs = [(f"{cell.name} seed {run.seed}", run) for cell in entry.cells for run in cell.runs]
    agent = visible(entry.label, 60)
    for mark in entry.marks:
        marked = [(name, run) for name, run in runs if run.marks and run.marks[0] is mark]
        for why, count in Counter(run.why for _, run in marked).items():
            names = [name for name, run in marked if run.why == why]
            yield Note(mark, agent, f"{_which(names, count, len(runs))} {visible(why)}{_own(entry, mark)}")


def _which(names: list[str], count: int, of_all: int) -> str:
    if count == of_all:
        return "its run:" if count == 1 else f"all {count} runs:"
    more = f" and {count - 2} more" if count > 3 else ""
    return ", ".join(visible(name) for name in (names[:2] if more else names)) + f"{more}:"


def _own(entry: Entry, mark: Mark) -> str:
    """What the disqualified models scored, where the whole entry has such scores."""
    if mark is not Mark.DISQUALIFIED or entry.submitted is None:
        return ""
    return f" (its own models would make {points(entry.submitted)})"


def marks_in(leaderboard: Leaderboard) -> list[Mark]:
    """Every mark that occurs, for a legend."""
    return [mark for mark in Mark if any(mark in entry.marks for entry in leaderboard.entries)]


def captions(leaderboard: Leaderboard) -> list[str]:
    """What the numbers are, what they are compared with, and by which rules: lines of plain text."""
    lines = ["percent; ± items: standard error from finite test sets; ± seeds: sample deviation over n seeds"]
    if any(entry.partial is not None for entry in leaderboard.entries):
        lines.append("( ): mean over the cells that count, not comparable and not ranked")
    references = [f"{REFERENCES.get(r.kind, r.kind)} {points(r.total)}" for r in leaderboard.references]
    if references:
        lines.append("for comparison: " + ", ".join(references))
    lines += [f"reference scores from {visible(source, 150)}" for source in leaderboard.reference_sources]
    if leaderboard.published:
        source = visible(leaderboard.published.source, 150)
        lines.append(f"{PUBLISHED[0]} published, not run here: {source}")
    if any(entry.ranks for entry in leaderboard.entries):
        lines.append("95%: ranks that hold 95% of bootstrap draws over items, and over runs where n > 1")
    lines.append(f"policy {leaderboard.policy}: {leaderboard.policy_text}")
    lines.append(
        f"suite {visible(leaderboard.suite, 60)} {visible(leaderboard.suite_version, 60)}, "
        f"digest {leaderboard.suite_digest[:16]}"
    )
    if leaderboard.superseded:
        lines.append(f"{leaderboard.superseded} older records were superseded by newer ones of the same run")
    return lines


def has_part(leaderboard: Leaderboard, name: str) -> bool:
    """Whether some entry knows its score over that part of the samples."""
    return any(entry.part(name) is not None for entry in leaderboard.entries)


def title(leaderboard: Leaderboard) -> str:
    return visible(leaderboard.suite_title or leaderboard.suite, 100)
