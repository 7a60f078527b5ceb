"""How an agent worked, for a terminal: where its time, tokens and money went, its evaluations, its load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from posttrainbench.budget import GIB, MIB
from posttrainbench.load import LoadSample
from posttrainbench.report.plot import scatter, sparkline
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points
from posttrainbench.transcribing.work import Activity, ModelUse, Query, Work
from posttrainbench.transcript import Source

SOURCES = {
    Source.CALLS: "the gateway's captured model calls, which the agent cannot forge",
    Source.STREAM: "what the agent's program printed: its own word",
}
COLOURS = {
    Activity.EVALUATING: "magenta",
    Activity.TRAINING: "green",
    Activity.MODEL: "blue",
    Activity.TOOLS: "yellow",
    Activity.REST: "bright_black",
}
TOOLS_SHOWN = 8
BAR, PLOT_WIDTH, PLOT_HEIGHT = 60, 60, 6


@dataclass(frozen=True, slots=True)
class WorkView:
    """What is told of an agent's work, and of what its sandbox took."""

    work: Work
    load: Sequence[LoadSample] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        work = self.work
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("time", Group(_bar(work), *_shares(work)))
        if work.turns:
            facts.add_row("turns", f"{work.turns} answers of its model")
        for use in work.models:
            facts.add_row(visible(use.model, 40), _tokens(use))
        if work.tools:
            facts.add_row("tools", _tools(work))
        facts.add_row("told by", SOURCES[work.source])
        yield facts
        if any(query.score is not None for query in work.queries):
            yield Text("\nevaluations that it asked for, over time", style="dim")
            yield from _queries(work.queries, work.wall_s)
        if self.load:
            yield Text("\nwhat its sandbox took, over time", style="dim")
            yield load_table(self.load)


def clock(wall_s: float) -> str:
    """`9:58:01`, `4:05`."""
    whole = max(0, round(wall_s))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def size(count: float) -> str:
    """`1.25 GiB`, `18 MiB`."""
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def _bar(work: Work) -> Text:
    """One cell of the bar for each sixtieth of the time; none for what took less than half of that."""
    bar = Text()
    for activity, spent_s in work.time_s.items():
        cells = round(BAR * spent_s / work.wall_s) if work.wall_s else 0
        bar.append("█" * cells, style=COLOURS[activity])
    return bar


def _shares(work: Work) -> Iterator[Text]:
    line = Text()
    for activity, spent_s in work.time_s.items():
        if spent_s < 0.5:
            continue
        guess = " (by its commands, or GPUs at work)" if activity is Activity.TRAINING else ""
        separator = ", " if line else ""
        line.append(separator)
        line.append(f"{activity} {clock(spent_s)}", style=COLOURS[activity])
        line.append(guess, style="dim")
    yield line


def _tokens(use: ModelUse) -> str:
    cached = f" ({use.cached_tokens:,} cached)" if use.cached_tokens else ""
    reasoning = f" ({use.reasoning_tokens:,} of reasoning)" if use.reasoning_tokens else ""
    price = "no price is known" if use.cost_usd is None else f"{use.cost_usd:.4f} USD"
    return (
        f"{use.calls} calls, {use.input_tokens:,} tokens in{cached}, "
        f"{use.output_tokens:,} out{reasoning}, {price}"
    )


def _tools(work: Work) -> str:
    named = [
        f"{visible(use.tool, 40)} {use.calls}" + (f" ({use.failed} failed)" if use.failed else "")
        for use in work.tools[:TOOLS_SHOWN]
    ]
    more = len(work.tools) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more > 0 else [])])


def _queries(queries: Sequence[Query], wall_s: float) -> Iterator[RenderableType]:
    scored = [(query.at_s, query.score) for query in queries if query.score is not None]
    yield from scatter(scored, max(wall_s, scored[-1][0]), PLOT_WIDTH, PLOT_HEIGHT)
    yield Text(f"       └{'─' * PLOT_WIDTH}", style="dim")
    best = max(score for _, score in scored)
    left = f"        0:00{clock(wall_s):>{PLOT_WIDTH - 4}}"
    unscored = len(queries) - len(scored)
    failed = f", {unscored} without a score" if unscored else ""
    yield Text(f"{left}\n        {len(queries)} asked for{failed}; best {points(best)}%", style="dim")


def load_table(load: Sequence[LoadSample]) -> Table:
    """What a sandbox took, one line for each thing over time."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(no_wrap=True, style="dim")
    for series in _series(load):
        known = [value for value in series.values if value is not None]
        if known:
            line = sparkline(series.values, PLOT_WIDTH, max(known))
            table.add_row(series.name, line, f"at most {series.told(max(known))}")
    return table


@dataclass(frozen=True, slots=True)
class _Series:
    """One thing over time, and how its value is said."""

    name: str
    values: list[float | None]
    told: Callable[[float], str]


def _series(load: Sequence[LoadSample]) -> Iterator[_Series]:
    yield _Series("processors", [one.cpu_cores for one in load], lambda cores: f"{cores:.1f} in use")
    yield _Series("memory", [one.memory_bytes for one in load], size)
    yield _Series("disk", [one.disk_bytes for one in load], size)
    for number in range(max(len(one.gpus) for one in load)):
        here = [one.gpus[number] if number < len(one.gpus) else None for one in load]
        busy = [gpu.busy if gpu else None for gpu in here]
        yield _Series(f"GPU {number}", busy, lambda share: f"{100 * share:.0f}% busy")
        yield _Series(f"GPU {number} memory", [gpu.memory_bytes if gpu else None for gpu in here], size)
