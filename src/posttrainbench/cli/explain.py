"""`ptb audit RUN --explain`: why a run has its verdict, for a person who wants to see for himself."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from posttrainbench.cli.members import benchmark_of
from posttrainbench.errors import PtbError, SetupError
from posttrainbench.flows.explain import explain as explain_run
from posttrainbench.protocols import TestItem
from posttrainbench.report.explanation import ExplanationView, explanation_json
from posttrainbench.stores.runs import RunStore


def explain(run_dir: Path, as_json: bool) -> None:
    """Print why the newest record of the run at `run_dir` says what it says.

    Raises:
        SetupError: it is no run directory, or nothing is published yet.
    """
    store = RunStore(run_dir)
    store.spec()
    record = store.record()
    if record is None:
        raise SetupError(f"{run_dir} has no record yet; finish it first: ptb run {run_dir}")
    found = explain_run(store, record, _test_items(store))
    if as_json:
        print(explanation_json(found), end="")  # noqa: T201 - what was asked for
    else:
        Console().print(ExplanationView(found, run_dir))


def _test_items(store: RunStore) -> tuple[TestItem, ...] | None:
    """The benchmark's test items, or None where its data are not on this machine."""
    try:
        return benchmark_of(store.suite(), store.spec().task.benchmark).items("test")
    except PtbError:
        return None
