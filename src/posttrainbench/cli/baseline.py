"""`ptb baseline`: what a suite's models score before any agent works on them, by runs like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from posttrainbench.agents.baseline import BaselineAgent
from posttrainbench.cli.base_models import instruct_sibling
from posttrainbench.cli.members import benchmark_names, benchmark_of, sandbox_named
from posttrainbench.cli.run import see_through
from posttrainbench.cli.setup_run import make_run, task_of
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.few_shot import examples_text
from posttrainbench.protocols import ShowsExamples
from posttrainbench.ranking.baselines import KINDS, measured_references
from posttrainbench.record import RunRecord, Score
from posttrainbench.report.wording import points
from posttrainbench.stores.files import write_atomic
from posttrainbench.suites import load_suite
from posttrainbench.suites.writing import references_toml
from posttrainbench.task import Suite, Task

WORDS = {"base": "base, zero-shot", "few_shot": "base, few-shot", "instruct": "official instruct"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb baseline`; empty tuples mean all."""

    suite: str = "tiny"
    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    seeds: int = 1
    sandbox: str = "bwrap"
    out: Path = Path("runs/baselines")
    write: Path | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that cannot be measured, and why."""

    kind: str
    task: Task
    why: str


def baseline(asked: Asked, as_json: bool) -> None:
    """Run what is missing, say what came out, and write it as reference rows where asked.

    Raises:
        SetupError: a name, a model or the sandbox is not there; nothing was started then.
    """
    suite = load_suite(asked.suite, benchmark_names(), weights_later=True)
    sandbox_named(asked.sandbox).isolation()
    plan = list(_plan(suite, asked))
    console = Console(stderr=True)
    records: list[RunRecord] = []
    left_out = [cell for cell in plan if isinstance(cell, LeftOut)]
    cells = [cell for cell in plan if not isinstance(cell, LeftOut)]
    for number, (kind, task, seed) in enumerate(cells, 1):
        console.print(f"{number} of {len(cells)}: {WORDS[kind]}, {task.name}, seed {seed}", highlight=False)
        store = make_run(asked.out, suite, task, BaselineAgent.spec_of(kind), seed, asked.sandbox)
        records.append(see_through(store))
    if asked.write is not None and (references := measured_references(records)):
        write_atomic(asked.write, references_toml(references))
    if as_json:
        print(json.dumps(_document(records, left_out), indent=2, allow_nan=False))  # noqa: T201 - asked for
    else:
        _print(records, left_out, asked)


def _plan(suite: Suite, asked: Asked) -> Iterator[tuple[str, Task, int] | LeftOut]:
    for kind in asked.kinds or KINDS:
        if kind not in KINDS:
            raise UnknownName("kind of baseline", kind, KINDS)
        for task in _tasks(suite, asked):
            why = _hindrance(suite, kind, task)
            if why is None:
                yield from ((kind, task, seed) for seed in range(asked.seeds))
            else:
                yield LeftOut(kind, task, why)


def _tasks(suite: Suite, asked: Asked) -> list[Task]:
    """The suite's tasks of the models and benchmarks that were asked for."""
    models = asked.models or tuple(model.hub_id for model in suite.base_models)
    benchmarks = asked.benchmarks or tuple(benchmark.name for benchmark in suite.benchmarks)
    return [task_of(suite, model, benchmark) for model in models for benchmark in benchmarks]


def _hindrance(suite: Suite, kind: str, task: Task) -> str | None:
    """Why a cell has no such baseline, or None."""
    if kind == "instruct" and instruct_sibling(suite, task.base_model) is None:
        return f"no instruct model of {task.base_model.hub_id} is known"
    if kind == "few_shot":
        benchmark = benchmark_of(suite, task.benchmark)
        benchmark.items("test")  # data that are not there are an error, no hindrance
        try:
            isinstance(benchmark, ShowsExamples) or examples_text(benchmark, 1)
        except SetupError as error:
            return str(error)
    return None


def _print(records: Sequence[RunRecord], left_out: Sequence[LeftOut], asked: Asked) -> None:
    console = Console(highlight=False)
    table = Table("baseline", "task", "seed", "score", box=None, header_style="dim")
    for record in records:
        spec = record.spec
        table.add_row(_words(record), spec.task.name, str(spec.seed), _score(record))
    for cell in left_out:
        table.add_row(WORDS[cell.kind], cell.task.name, "", f"not measured: {cell.why}")
    console.print(table)
    if asked.write is not None and any(isinstance(record.outcome, Score) for record in records):
        console.print(
            f"reference rows in {asked.write}: append them to a suite of yours, or "
            f"ptb rank RUNS --references {asked.write}",
            style="dim", markup=False, soft_wrap=True,
        )  # fmt: skip
    console.print(f"runs in {asked.out}; more: ptb show RUN", style="dim", markup=False, soft_wrap=True)


def _words(record: RunRecord) -> str:
    return WORDS[dict(record.spec.agent.settings)["kind"]]


def _score(record: RunRecord) -> str:
    outcome = record.outcome
    if not isinstance(outcome, Score):
        return f"none: {outcome.reason}"
    error = "" if outcome.stderr is None else f" ± {points(outcome.stderr)}"
    return f"{points(outcome.mean)}%{error} ({outcome.n} items)"


def _document(records: Sequence[RunRecord], left_out: Sequence[LeftOut]) -> dict[str, object]:
    return {
        "schema": "posttrainbench.baselines/1",
        "runs": [
            {
                "run_id": record.spec.run_id,
                "kind": dict(record.spec.agent.settings)["kind"],
                "base_model": record.spec.task.base_model.hub_id,
                "benchmark": record.spec.task.benchmark,
                "seed": record.spec.seed,
                "outcome": asdict(record.outcome),
            }
            for record in records
        ],
        "references": [asdict(reference) for reference in measured_references(records)],
        "not_measured": [{"kind": cell.kind, "task": cell.task.name, "why": cell.why} for cell in left_out],
    }
