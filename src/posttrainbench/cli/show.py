"""`ptb show RUN`: what happened in a run, in order, for a person."""

from __future__ import annotations

import pydoc
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rich.console import Console

from posttrainbench.agents.scaffolds import PROMPT
from posttrainbench.cli.members import transcript_form
from posttrainbench.errors import SetupError
from posttrainbench.flows.transcribe import events_of, source_of, work_of
from posttrainbench.layout import AttemptLayout, RunLayout
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import RunRecord, Solved, Stage
from posttrainbench.report.story import Place, Story, story_json
from posttrainbench.report.transcript import transcript_lines
from posttrainbench.report.work import SOURCES, WorkView
from posttrainbench.stores.codec import to_line
from posttrainbench.stores.ledger import utc_now
from posttrainbench.stores.monitor import read_samples
from posttrainbench.stores.runs import RunStore, find_runs
from posttrainbench.transcribing.work import elapsed_s, solve_entries


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


def show_transcript(run_dir: Path, as_json: bool) -> None:
    """Print what the agent did, event by event, in pages on a terminal; with `as_json` an event a line."""
    store, attempt, form = _solved(run_dir)
    events = events_of(attempt, store.ledger_entries(), form)
    if as_json:
        for one in events:
            print(to_line(one), end="")  # noqa: T201 - what was asked for
        return
    source = f"told by {SOURCES[source_of(attempt)]}\n"
    lines = (f"{line}\n" for line in chain([source], transcript_lines(events)))
    if sys.stdout.isatty():
        pydoc.pager("".join(lines))
    else:
        sys.stdout.writelines(lines)


def write_eval(run_dir: Path) -> None:
    """Write the transcript as an Inspect log into the attempt that it is of, and say how to look at it."""
    from posttrainbench.stores.eval_logs import Told, write_eval_log

    store, attempt, form = _solved(run_dir)
    entries, path = store.ledger_entries(), attempt.transcript_log
    work = work_of(attempt, entries, form, _wall_s(store, attempt, entries))
    began = solve_entries(entries, attempt.number)
    told = Told(store.spec(), store.record(), work, began[0].at_utc if began else utc_now(), PROMPT)
    write_eval_log(path, told, events_of(attempt, entries, form))
    print(f"{path}\nlook at it with: inspect view --log-dir {path.parent}")  # noqa: T201 - what was asked for


def story_of(run_dir: Path) -> Story:
    """The story of a run, finished or not."""
    store = run_store(run_dir)
    record, entries = store.record(), store.ledger_entries()
    found = ((what, path) for what, path in _places(store.layout, record) if path.exists())
    places = tuple(Place(what, path.relative_to(run_dir)) for what, path in found)
    earlier = tuple(store.every_record())[:-1]
    work = _work(store, entries)
    return Story(store.spec(), record, entries, run_dir, places, store.disputes(), work, earlier)


def run_store(run_dir: Path) -> RunStore:
    """The run at `run_dir`.

    Raises:
        SetupError: it is no run directory; when it holds some, the text names one.
    """
    store = RunStore(run_dir)
    if not store.layout.spec.exists():
        raise SetupError(_no_run(run_dir))
    return store


def _solved(run_dir: Path) -> tuple[RunStore, AttemptLayout, str]:
    """A run, the attempt whose agent counts, and the form of what its program prints.

    Raises:
        SetupError: no agent has started yet.
    """
    store = run_store(run_dir)
    attempt = solve_attempt(store)
    if attempt is None:
        raise SetupError(f"no agent has started in {run_dir} yet")
    return store, attempt, transcript_form(store.spec().agent)


def solve_attempt(store: RunStore) -> AttemptLayout | None:
    """The attempt whose agent counts, or else the newest in which one has started; None before."""
    solved = store.finished(Stage.SOLVE, Solved)
    if solved is not None:
        return solved.attempt
    tried = (store.layout.attempt(number) for number in range(store.attempts(), 0, -1))
    return next((attempt for attempt in tried if attempt.transcript.exists()), None)


def _work(store: RunStore, entries: tuple[LedgerEntry, ...]) -> WorkView | None:
    attempt = solve_attempt(store)
    if attempt is None:
        return None
    form, wall_s = transcript_form(store.spec().agent), _wall_s(store, attempt, entries)
    return WorkView(work_of(attempt, entries, form, wall_s), read_samples(attempt.monitor))


def _wall_s(store: RunStore, attempt: AttemptLayout, entries: tuple[LedgerEntry, ...]) -> float:
    """How long an agent worked; of one that still does or never ended, until the last that is known of it."""
    solved = store.finished(Stage.SOLVE, Solved)
    if solved is not None:
        return solved.output.wall_s
    known = elapsed_s(solve_entries(entries, attempt.number))
    samples = read_samples(attempt.monitor)
    return max(known, samples[-1].at_s if samples else 0.0)


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
