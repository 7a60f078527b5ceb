"""`ptb show RUN`: what happened in a run, in order, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from posttrainbench.errors import SetupError
from posttrainbench.layout import AttemptLayout, RunLayout
from posttrainbench.record import RunRecord, Stage
from posttrainbench.report.story import Place, Story, story_json
from posttrainbench.stores.runs import RunStore, find_runs


def show(run_dir: Path, as_json: bool) -> None:
    """Print the story of the run at `run_dir`.

    Raises:
        SetupError: it is no run directory; when it holds some, the text names one.
    """
    story = story_of(run_dir)
    if as_json:
        print(story_json(story), end="")  # noqa: T201 - what was asked for
    else:
        Console().print(story)


def story_of(run_dir: Path) -> Story:
    """The story of a run, finished or not."""
    store = RunStore(run_dir)
    if not store.layout.spec.exists():
        raise SetupError(_no_run(run_dir))
    record = store.record()
    found = ((what, path) for what, path in _places(store.layout, record) if path.exists())
    places = tuple(Place(what, path.relative_to(run_dir)) for what, path in found)
    return Story(store.spec(), record, store.ledger_entries(), run_dir, places, store.disputes())


def _no_run(run_dir: Path) -> str:
    within = next(iter(find_runs(run_dir)), None)
    if within is not None:
        return f"{run_dir} holds runs but is none itself; try: ptb show {within.layout.root}"
    return f"{run_dir} is no run directory: it has no spec.json"


def _places(layout: RunLayout, record: RunRecord | None) -> Iterator[tuple[str, Path]]:
    """Where each stage left its files; the newest attempt's where no record says."""
    attempts = {} if record is None else {done.stage: layout.attempt(done.attempt) for done in record.stages}
    newest = _newest_attempt(layout)
    solve, admit = attempts.get(Stage.SOLVE, newest), attempts.get(Stage.ADMIT, newest)
    audit, evaluate = attempts.get(Stage.AUDIT, newest), attempts.get(Stage.EVALUATE, newest)
    if solve and admit and audit and evaluate:
        yield ("what the agent printed", solve.transcript)
        yield ("what it left", solve.workspace)
        yield ("the model that counts", admit.admitted_model)
        yield ("findings and evidence", audit.audit)
        yield ("every sample (inspect view)", evaluate.evaluation)
        yield ("what the stages printed", solve.logs)
    yield ("every event", layout.ledger)


def _newest_attempt(layout: RunLayout) -> AttemptLayout | None:
    numbers = [int(path.name) for path in layout.attempts.glob("[0-9]*") if path.name.isdigit()]
    return layout.attempt(max(numbers)) if numbers else None
