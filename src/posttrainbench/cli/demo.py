"""`ptb demo`: the embedded matrix, agents x tasks x seeds, with live progress; then the leaderboard."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from posttrainbench.agents.builtin import scripted_agents
from posttrainbench.cli.members import agent_named, sandbox_named
from posttrainbench.cli.rank import rank
from posttrainbench.cli.run import policy_named
from posttrainbench.cli.setup_run import make_run
from posttrainbench.errors import PtbError
from posttrainbench.finding import VerdictLabel
from posttrainbench.flows.sweep import sweep
from posttrainbench.protocols import SchedulerJob
from posttrainbench.record import RunRecord, RunSpec
from posttrainbench.report.progress import COLOURS, now_of, one_line, percent
from posttrainbench.schedulers.local import LocalScheduler
from posttrainbench.stores.runs import RunStore
from posttrainbench.suites import load_suite
from posttrainbench.task import Suite


@dataclass(frozen=True, slots=True)
class Planned:
    """One run of the matrix."""

    store: RunStore
    spec: RunSpec


def demo(
    out: Path,
    seeds: int,
    seconds: float,
    policy: str,
    agents: tuple[str, ...],
    parallel: int,
    sandbox: str,
    as_json: bool,
) -> None:
    """Run what is missing of the matrix, then rank it."""
    sandbox_named(sandbox).isolation()  # an unusable sandbox is said once, here, not by every run
    suite = load_suite("tiny").varied(seconds, policy_named(policy))
    names = agents or tuple(agent.spec.name for agent in scripted_agents())
    plan = [planned for seed in range(seeds) for planned in _plan(out, suite, names, seed, sandbox)]
    console = Console(stderr=True)
    started = time.monotonic()
    missing = [planned for planned in plan if planned.store.record() is None]
    console.print(
        f"{len(plan)} runs: {len(names)} agents x {len(suite.tasks())} tasks x {seeds} seed(s), "
        f"{seconds:g} s each, policy {policy}; {len(plan) - len(missing)} are finished already",
        highlight=False,
    )
    failed = _run(missing, plan, parallel or os.cpu_count() or 1, console)
    console.print(f"{len(missing)} runs took {time.monotonic() - started:.0f} s", highlight=False)
    rank(out, None, "paper", "json" if as_json else "table", None)
    _what_next(plan, out, console)
    if failed:
        logs = ", ".join(str(_log(planned)) for planned in plan if planned.spec.run_id in failed)
        raise PtbError(f"{len(failed)} runs did not end in a record; see {logs}; then repeat the command")


def _plan(out: Path, suite: Suite, agents: Sequence[str], seed: int, sandbox: str) -> list[Planned]:
    """Every agent on every task, task by task: agents that train run beside agents that wait."""
    specs = [agent_named(name).spec for name in agents]
    stores = [make_run(out, suite, task, spec, seed, sandbox) for task in suite.tasks() for spec in specs]
    return [Planned(store, store.spec()) for store in stores]


def _run(missing: Sequence[Planned], plan: Sequence[Planned], parallel: int, console: Console) -> set[str]:
    """Run what is missing; the ids of runs that ended without a record."""
    jobs = [_job(planned) for planned in missing]
    board = _Board(plan, console)
    try:
        with board:
            sweep(jobs, LocalScheduler(), parallel, board.update)
    except KeyboardInterrupt:
        raise PtbError("interrupted; the same command continues where it stopped") from None
    return {planned.spec.run_id for planned in missing if planned.store.record() is None}


def _job(planned: Planned) -> SchedulerJob:
    argv = (sys.executable, "-m", "posttrainbench.cli.main", "run", str(planned.store.layout.root))
    return SchedulerJob(planned.spec.run_id, argv, _log(planned))


def _log(planned: Planned) -> Path:
    return planned.store.layout.root / "worker.log"


class _Board:
    """Live progress: agents down, tasks across; without a terminal, one line per finished run."""

    def __init__(self, plan: Sequence[Planned], console: Console) -> None:
        self._plan, self._console = plan, console
        self._records: dict[str, RunRecord] = {}
        self._learn()
        self._finished_before, self._started_s = len(self._records), time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> None:
        if self._console.is_terminal:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, running: frozenset[str]) -> None:
        """Show the state now."""
        for record in self._learn():
            done = f"[{len(self._records)}/{len(self._plan)}] "
            self._console.print(Text(done, style="dim") + one_line(record), soft_wrap=True)
        if self._console.is_terminal:
            self._live.update(self._table(running))

    def _learn(self) -> list[RunRecord]:
        """Records published since the last look."""
        new = []
        for planned in self._plan:
            if planned.spec.run_id not in self._records and (record := planned.store.record()):
                self._records[planned.spec.run_id] = record
                new.append(record)
        return new

    def _table(self, running: frozenset[str]) -> Table:
        tasks = list(dict.fromkeys(planned.spec.task.name for planned in self._plan))
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.caption, table.caption_justify = self._left(), "left"
        for heading in ("agent", *tasks):
            table.add_column(heading.replace("/", "\n"))
        for agent in dict.fromkeys(planned.spec.agent.name for planned in self._plan):
            cells = [self._cell(agent, task, running) for task in tasks]
            table.add_row(agent, *cells)
        return table

    def _left(self) -> str:
        """How far the matrix is, and the time left at the pace until now."""
        done, elapsed_s = len(self._records) - self._finished_before, time.monotonic() - self._started_s
        text = f"{len(self._records)} of {len(self._plan)} runs finished"
        if done < 2:  # one run says little of the others
            return text
        left_s = round(elapsed_s / done * (len(self._plan) - len(self._records)))
        return f"{text}, about {left_s // 60}:{left_s % 60:02d} left"

    def _cell(self, agent: str, task: str, running: frozenset[str]) -> Text:
        """The state of an agent's runs on a task; several seeds share a cell."""
        runs = [p for p in self._plan if (p.spec.agent.name, p.spec.task.name) == (agent, task)]
        return Text("\n").join(self._state(planned, running) for planned in runs)

    def _state(self, planned: Planned, running: frozenset[str]) -> Text:
        record = self._records.get(planned.spec.run_id)
        if record is not None:
            disqualified = record.verdict.label is VerdictLabel.DISQUALIFIED
            text = "disqualified" if disqualified else percent(record.outcome)
            return Text(text, style=COLOURS[record.verdict.label])
        if planned.spec.run_id in running:
            return Text(now_of(planned.store.ledger_entries(), planned.spec, time.time()), style="bold")
        return Text("waiting", style="dim")


def _what_next(plan: Sequence[Planned], out: Path, console: Console) -> None:
    """Where to look next: one disqualified run, the ranking again, the samples."""
    records = [(planned, planned.store.record()) for planned in plan]
    cheat = next((p for p, r in records if r and r.verdict.label is VerdictLabel.DISQUALIFIED), None)
    lines = [
        *([f"why a run was disqualified   ptb show {cheat.store.layout.root}"] if cheat else []),
        f"every sample of a score      inspect view --log-dir {out}",
        f"the ranking in a file        ptb rank {out} --format markdown",
        f"whether anything was altered ptb verify {out}",
    ]
    console.print("\nWhere to look next:", style="bold")
    for line in lines:  # commands to copy: never broken into two
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
