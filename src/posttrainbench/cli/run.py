"""`ptb run`, `ptb evaluate`, `ptb audit`: one run, with what it does while it does it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from posttrainbench.agents.builtin import COMMAND, ShellAgent
from posttrainbench.cli.members import agent_named, judge_named, sandbox_named
from posttrainbench.cli.setup_run import make_run, members_of, suite_with, task_of
from posttrainbench.errors import PtbError, SetupError, UnknownName
from posttrainbench.flows.run import run as run_flow
from posttrainbench.protocols import Agent, Judge, ScoringAids
from posttrainbench.record import Evaluated, RunRecord, Stage
from posttrainbench.report.progress import now_of, one_line
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.stores.codec import to_json
from posttrainbench.stores.runs import RunStore
from posttrainbench.task import Policy, Suite, Task

DEFAULT_AGENT = "recipe-sft"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb run`."""

    run_dir: Path | None
    agent: str | None
    command: str | None
    model: str
    benchmark: str
    suite: str | None
    seed: int
    wall_s: float | None
    policy: str | None
    sandbox: str
    out: Path
    engine: str | None = None
    agent_model: str | None = None
    effort: str | None = None
    cost_usd: float | None = None
    judge: str | None = None
    judge_model: str | None = None


def run(asked: Asked, as_json: bool) -> None:
    """Make the run directory, or find it, and see the run to its record."""
    judge = judge_named(asked.judge, asked.judge_model)
    store = RunStore(asked.run_dir) if asked.run_dir else _new(asked)
    _print(see_through(store, judge=judge), store, as_json)


def again(
    run_dir: Path, stage: str, as_json: bool, judge: str | None = None, judge_model: str | None = None
) -> None:
    """Repeat one stage of a run that has a record."""
    member = judge_named(judge, judge_model)
    store = RunStore(run_dir)
    store.spec()
    if store.record() is None:
        raise SetupError(f"{run_dir} has no record yet; finish it first: ptb run {run_dir}")
    _print(see_through(store, frozenset({Stage(stage)}), member), store, as_json)


def policy_named(name: str | None) -> Policy | None:
    """The policy of that name; None stays None."""
    if name is None:
        return None
    if name not in set(Policy):
        raise UnknownName("policy", name, list(Policy))
    return Policy(name)


def _new(asked: Asked) -> RunStore:
    suite, task, agent = chosen(asked)
    sandbox_named(asked.sandbox).isolation()  # whether it works is said before anything is made
    _warn_of_missing_gpus(task)
    return make_run(asked.out, suite, task, agent.spec, asked.seed, asked.sandbox, asked.engine)


def chosen(asked: Asked) -> tuple[Suite, Task, Agent]:
    """What the words of a command line name.

    Raises:
        UnknownName: something that is not there.
    """
    suite = suite_with(asked.suite, asked.model, asked.benchmark)
    suite = suite.varied(asked.wall_s, policy_named(asked.policy), asked.cost_usd)
    agent: Agent = (
        ShellAgent(asked.agent or COMMAND, asked.command)
        if asked.command
        else agent_named(asked.agent or DEFAULT_AGENT, asked.agent_model, asked.effort)
    )
    return suite, task_of(suite, asked.model, asked.benchmark), agent


def _warn_of_missing_gpus(task: Task) -> None:
    """An agent without the GPUs of its budget does another task than the suite means; the record shows it."""
    there = len(HERE.gpus())
    if there < task.budget.gpus:
        text = f"the budget has {task.budget.gpus} GPU(s), this machine shows {there}; `ptb doctor` says why"
        Console(stderr=True).print(text, style="yellow", markup=False)


def see_through(
    store: RunStore, again: frozenset[Stage] = frozenset(), judge: Judge | None = None
) -> RunRecord:
    """The record of a run, with what it does shown while it does it.

    Without `judge`, the one that the environment names judges, if it names one.

    Raises:
        PtbError: interrupted, or something that it needs is not there; the text says how to go on.
    """
    scored = Stage.EVALUATE not in again and store.finished(Stage.EVALUATE, Evaluated) is not None
    aids = ScoringAids() if scored else None  # who only audits needs no grader
    members = replace(members_of(store.spec(), store.suite(), aids), judge=judge or judge_named())
    with _status(store, Console(stderr=True)):
        try:
            return run_flow(store, members, again)
        except KeyboardInterrupt:
            raise PtbError(f"interrupted; continue with: ptb run {store.layout.root}") from None


def _print(record: RunRecord, store: RunStore, as_json: bool) -> None:
    if as_json:
        print(to_json(record), end="")  # noqa: T201 - what was asked for
        return
    console = Console()
    console.print(one_line(record), soft_wrap=True)
    console.print(f"more: ptb show {store.layout.root}", style="dim", markup=False, soft_wrap=True)


class _status:  # noqa: N801 - reads as a statement
    """While open, a line on the terminal says which stage the run is in and how much time is left."""

    def __init__(self, store: RunStore, console: Console) -> None:
        self._store, self._stop = store, Event()
        self._shown = console.status("starting") if console.is_terminal else nullcontext()
        self._thread = Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> None:
        self._status = self._shown.__enter__()
        if self._status is not None:
            self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._status is not None:
            self._thread.join()
        self._shown.__exit__(None, None, None)

    def _refresh(self) -> None:
        while not self._stop.wait(0.5):
            if self._status is not None:
                self._status.update(now_of(self._store.ledger_entries(), self._store.spec(), time.time()))
