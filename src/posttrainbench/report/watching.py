"""What a run does now, on one screen: stage, worker, time, money, the agent, its evaluations, its load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from posttrainbench.budget import Budget, Spend
from posttrainbench.load import LoadSample
from posttrainbench.record import RunSpec
from posttrainbench.report.transcript import in_a_line
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points
from posttrainbench.report.work import clock, load_table
from posttrainbench.transcribing.work import Query
from posttrainbench.transcript import EventKind, TranscriptEvent

BAR = 40
EVENTS_SHOWN, QUERIES_SHOWN = 6, 4


@dataclass(frozen=True, slots=True)
class Moment:
    """A run as it is now. None: not known, or not yet."""

    spec: RunSpec
    stage: str
    attempt: int
    worker: str  # who works on it, and whether it lives
    alive: bool | None
    elapsed_s: float | None  # of the agent, earlier attempts included; None before it starts
    agent_s: float | None  # since this attempt's agent started
    spend: Spend
    events: Sequence[TranscriptEvent]  # the last that its program printed
    queries: Sequence[Query]
    load: Sequence[LoadSample]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        spec = self.spec
        yield Text.assemble(
            (visible(spec.agent.name, 60), "bold"), f" on {visible(spec.task.name, 100)}, seed {spec.seed}"
        )
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True, min_width=len("evaluations"))
        facts.add_column(overflow="ellipsis", no_wrap=True)
        for name, text in self._facts():
            facts.add_row(name, text)
        yield facts
        if self.load:
            yield Text()
            yield load_table(self.load)

    def _facts(self) -> Iterator[tuple[str, Text]]:
        budget = self.spec.task.budget
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        yield "stage", Text(f"{self.stage}{again}", style="bold")
        style = {True: "", False: "red", None: "yellow"}[self.alive]
        yield "worker", Text(self.worker, style=style)
        if self.elapsed_s is not None:
            yield "time", _time(self.elapsed_s, budget.wall_s)
        if self.spend.tokens or budget.cost_usd is not None:
            yield "money", Text(_money(self.spend, budget))
        shown = [one for one in self.events if one.kind is not EventKind.SYSTEM][-EVENTS_SHOWN:]
        for number, one in enumerate(shown):
            now = number == len(shown) - 1
            yield (
                ("now" if self.agent_s is not None else "last") if now else "",
                Text(f"{self._ago(one):>10}  {in_a_line(one)}", style="" if now else "dim"),
            )
        for number, query in enumerate(self.queries[-QUERIES_SHOWN:]):
            yield "evaluations" if number == 0 else "", Text(_query(query))
        if len(self.queries) > QUERIES_SHOWN:
            yield "", Text(f"{len(self.queries)} in all", style="dim")

    def _ago(self, one: TranscriptEvent) -> str:
        if one.at_s is None or self.agent_s is None:
            return ""
        return f"{clock(self.agent_s - one.at_s)} ago"


def _time(elapsed_s: float, wall_s: float) -> Text:
    share = min(1.0, elapsed_s / wall_s) if wall_s else 1.0
    full = round(BAR * share)
    left_s = max(0.0, wall_s - elapsed_s)
    return Text.assemble(
        ("█" * full, "green" if share < 0.9 else "yellow"),
        ("█" * (BAR - full), "bright_black"),
        f" {clock(elapsed_s)} of {clock(wall_s)}, {clock(left_s)} left",
    )


def _money(spend: Spend, budget: Budget) -> str:
    cost = "no price is known" if spend.cost_usd is None else f"{spend.cost_usd:.4f} USD"
    if spend.cost_usd is not None and budget.cost_usd is not None:
        cost += f" of {budget.cost_usd:g}, {max(0.0, budget.cost_usd - spend.cost_usd):.4f} left"
    most = f" of {budget.tokens:,}" if budget.tokens is not None else ""
    return f"{cost}; {spend.tokens or 0:,}{most} tokens"


def _query(query: Query) -> str:
    path = visible(query.path, 60)
    if query.score is None:
        return f"{clock(query.at_s)}  {path}: no score"
    spread = "" if query.stderr is None else f" ± {points(query.stderr)}"
    return f"{clock(query.at_s)}  {path}: {points(query.score)}%{spread}"
