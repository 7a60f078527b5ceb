"""A leaderboard on the terminal: as many columns as fit, symbols explained under the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from posttrainbench.leaderboard import BenchmarkColumn, Entry, Leaderboard, Mark, PublishedEntry
from posttrainbench.report import wording
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import NOVEL, points

COLOURS = {
    Mark.DISQUALIFIED: "red",
    Mark.FAILED: "red",
    Mark.MISSING: "dim",
    Mark.SUSPICIOUS: "yellow",
    Mark.UNKNOWN: "yellow",
    Mark.NOT_ISOLATED: "yellow",
}
AGENT_WIDTH = 40
# What is left out when a terminal is too narrow for everything, in the order in which it is tried.
GIVEN_UP: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"seeds"}),
    frozenset({"seeds", "ranks"}),
    frozenset({"benchmarks"}),
    frozenset({"benchmarks", "seeds"}),
    frozenset({"benchmarks", "seeds", "ranks"}),
    frozenset({"benchmarks", "seeds", "ranks", NOVEL}),
    frozenset({"benchmarks", "seeds", "ranks", NOVEL, "spread"}),
)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: its heading, how an entry reads in it, and what it is given up with when space is short."""

    heading: str
    cell: Callable[[Entry], Text]
    group: str = ""
    published: Callable[[PublishedEntry], str] = lambda _: ""  # how another's published entry reads in it


@dataclass(frozen=True, slots=True)
class LeaderboardView:
    """A leaderboard as something that rich can print."""

    leaderboard: Leaderboard

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(wording.title(self.leaderboard), style="bold")
        yield self._fitting(console, options)
        yield from self._notes(options)
        yield from self._legend(options)
        yield from (Text(_ascii(line, options), style="dim") for line in wording.captions(self.leaderboard))

    def _fitting(self, console: Console, options: ConsoleOptions) -> Table:
        """The first of ever smaller tables that fits the console's width, or else the smallest."""
        columns = self._columns(options.ascii_only)
        for gone in GIVEN_UP:
            kept = [column for column in columns if column.group not in gone]
            for tight in (False, True):
                table = self._table(kept, options, tight)
                needed = Measurement.get(console, options.update(max_width=10_000), table).maximum
                if needed <= options.max_width:
                    return table
        return table

    def _columns(self, ascii_only: bool) -> list[_Column]:
        board = self.leaderboard
        columns = [
            _Column("#", lambda entry: Text(wording.rank_text(entry, board))),
            _Column("agent", _agent, published=lambda e: visible(e.label, AGENT_WIDTH)),
            _Column(
                "",
                lambda entry: _symbols(entry.marks, ascii_only),
                published=lambda _: wording.PUBLISHED[1 if ascii_only else 0],
            ),
            _Column("score", _score, published=lambda e: points(e.mean)),
            _Column("±\nitems", lambda e: Text(points(e.total.sampling_stderr if e.total else None))),
            _Column(
                "±\nseeds",
                lambda e: Text(points(e.total.sd_over_seeds if e.total else None)),
                "spread",
                lambda e: points(e.sd),
            ),
            _Column("n", lambda entry: Text(str(len(entry.cells[0].runs))), "seeds", lambda e: str(e.runs)),
        ]
        if any(entry.ranks for entry in board.entries):
            columns.insert(1, _Column("95%", lambda e: Text(wording.ranks_text(e, ascii_only)), "ranks"))
        if wording.has_part(board, NOVEL):
            columns.append(_Column("novel", _novel, NOVEL))
        columns += [
            _Column(_stacked(name), _benchmark(position, ascii_only), "benchmarks")
            for position, name in enumerate(board.benchmarks)
        ]
        return columns

    def _table(self, columns: list[_Column], options: ConsoleOptions, tight: bool) -> Table:
        """The table with one blank between columns when `tight`, else three."""
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 0 if tight else 1)
        )
        for column in columns:
            if column.heading == "agent":
                table.add_column(column.heading, no_wrap=True, overflow="ellipsis", vertical="bottom")
            else:
                heading = _ascii(column.heading, options)
                table.add_column(
                    heading, justify="right" if heading else "left", no_wrap=True, vertical="bottom"
                )
        for entry in wording.rows(self.leaderboard):
            if isinstance(entry, PublishedEntry):
                cells = [Text(column.published(entry), style="dim italic") for column in columns]
            else:
                cells = [column.cell(entry) for column in columns]
            table.add_row(
                *(Text(_ascii(c.plain, options), c.style) if options.ascii_only else c for c in cells)
            )
        return table

    def _notes(self, options: ConsoleOptions) -> Iterator[Table]:
        notes = wording.notes(self.leaderboard)
        if notes:
            grid = Table.grid(padding=(0, 1))
            grid.add_column(no_wrap=True)
            grid.add_column(no_wrap=True, overflow="ellipsis")
            grid.add_column(ratio=1, min_width=20)
            for note in notes:
                symbol = wording.symbols((note.mark,), options.ascii_only)
                texts = (_ascii(text, options) for text in (note.agent, note.text))
                grid.add_row(Text(symbol, style=COLOURS[note.mark]), *(Text(text) for text in texts))
            yield grid

    def _legend(self, options: ConsoleOptions) -> Iterator[Text]:
        """The symbols that occur, as many to a line as fit."""
        lines = [""]
        for mark in wording.marks_in(self.leaderboard):
            item = f"{wording.symbols((mark,), options.ascii_only)} {wording.MARKS[mark][2]}   "
            if len(lines[-1] + item.rstrip()) > options.max_width:
                lines.append("")
            lines[-1] += item
        yield from (Text(line.rstrip(), style="dim") for line in ["", *lines] if line or lines != [""])


def _agent(entry: Entry) -> Text:
    return Text(visible(entry.label, AGENT_WIDTH), style="bold green" if entry.rank == 1 else "")


def _score(entry: Entry) -> Text:
    return Text(wording.score_text(entry), style="bold" if entry.total else "dim")


def _novel(entry: Entry) -> Text:
    novel = entry.part(NOVEL)
    return Text(points(novel.mean if novel else None))


def _symbols(marks: tuple[Mark, ...], ascii_only: bool) -> Text:
    return Text(wording.symbols(marks, ascii_only), style=COLOURS[marks[0]] if marks else "")


def _benchmark(position: int, ascii_only: bool) -> Callable[[Entry], Text]:
    def cell(entry: Entry) -> Text:
        column: BenchmarkColumn = entry.columns[position]
        marks = entry.marks_on(column.benchmark)
        text = points(column.estimate.mean if column.estimate else None)
        # A place for one symbol keeps the decimals below each other.
        return Text(
            f"{text}{wording.symbols(marks[:1], ascii_only) or ' '}", style=COLOURS[marks[0]] if marks else ""
        )

    return cell


def _stacked(name: str) -> str:
    """`tiny_math` on two lines: the column is narrow."""
    return "\n".join(f"{part} " for part in visible(name, 40).split("_") if part)


def _ascii(text: str, options: ConsoleOptions) -> str:
    if not options.ascii_only:
        return text
    for symbol, replacement in (("±", "+-"), (wording.DASH, "-"), ("…", "..")):
        text = text.replace(symbol, replacement)
    return text.encode("ascii", "backslashreplace").decode()
