"""`ptb evaluate --benchmark B --model M`: what a model on this machine, or behind a server, scores."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from posttrainbench.budget import GIB, Limits
from posttrainbench.cli.members import ENGINES, SERVED, aids_for, benchmark_named, sandbox_named
from posttrainbench.cli.model_folder import chat_template_for, check_model
from posttrainbench.datasets.folder import view_inside
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.evaluate import Evaluator, OutsideScorer, ServedEvaluator
from posttrainbench.flows.sample_progress import Progress
from posttrainbench.flows.score import ModelUse, ScoreResult
from posttrainbench.record import Score
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points
from posttrainbench.scoring.splits import SPLITS

LONGEST_S = 7 * 24 * 3600.0
TOGETHER = "posttrainbench.evaluations/1"
EVALUATED = ("transformers/", "served/")  # what our engines put before a model's name
LAST_LINES = 3  # of a failed evaluation's output, for whoever has to mend it

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb evaluate`."""

    benchmark: str  # for a served model: one or more, with commas
    model: Path  # a folder; for a served model, its name
    engine: str = "transformers"
    split: str = "test"
    limit: int | None = None
    chat_template: str | None = None
    grader: str | None = None
    grader_url: str | None = None
    sandbox: str = "bwrap"
    out: Path = Path("evaluations")
    base_url: str | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that was asked for, found."""

    score: Callable[[Path, OnProgress], tuple[ScoreResult, ...]]  # into a folder; one for each benchmark
    items: tuple[int, ...]  # of the split, for each benchmark
    template: str  # where the chat template comes from, in words


@dataclass(frozen=True, slots=True)
class Told:
    """What came out for one benchmark, and what there was."""

    benchmark: str
    items: int
    result: ScoreResult
    folder: Path
    log: Path | None


def evaluate(asked: Asked, as_json: bool) -> None:
    """Evaluate the model and say what came out; exit status 1 when there is no score.

    Raises:
        SetupError: a name, a folder, the data or the sandbox is not there; the text holds the fix.
    """
    prepared = _prepared(asked)
    folder = _new_folder(asked)
    console = Console(stderr=True)
    started = time.monotonic()
    with _shown(console, asked.benchmark) as on_progress:
        results = prepared.score(folder, on_progress)
    wall_s = time.monotonic() - started
    told = [
        Told(name, items, result, folder / name if (folder / name).is_dir() else folder, _log(folder, name))
        for name, items, result in zip(_names(asked), prepared.items, results, strict=True)
    ]
    if as_json:
        documents = [_document(asked, prepared.template, one, wall_s) for one in told]
        whole = documents[0] if len(documents) == 1 else {"schema": TOGETHER, "evaluations": documents}
        print(json.dumps(whole, indent=2, allow_nan=False))  # noqa: T201
    else:
        _print(asked, prepared.template, told, folder, wall_s)
    if not all(isinstance(result.outcome, Score) for result in results):
        sys.exit(1)


def _names(asked: Asked) -> tuple[str, ...]:
    """The benchmarks that were named, each once."""
    return tuple(dict.fromkeys(filter(None, asked.benchmark.split(","))))


def _prepared(asked: Asked) -> Prepared:
    if asked.split not in SPLITS:
        raise UnknownName("split", asked.split, SPLITS)
    if asked.engine not in ENGINES:
        raise UnknownName("engine", asked.engine, ENGINES)
    return _served(asked) if asked.engine in SERVED else _local(asked)


def _local(asked: Asked) -> Prepared:
    """For a model folder, whose weights run in a sandbox."""
    if asked.base_url is not None:
        raise SetupError(
            f"--base-url goes with --engine {SERVED[0]}; the {asked.engine} engine asks no server"
        )
    if len(_names(asked)) != 1:
        raise SetupError(f"the {asked.engine} engine takes one benchmark at a time; evaluate them in turn")
    check_model(asked.model)
    benchmark, sandbox = benchmark_named(asked.benchmark), sandbox_named(asked.sandbox)
    items = len(benchmark.items(asked.split))  # missing data are said before anything is started
    template = chat_template_for(asked.model, asked.chat_template)
    aids = aids_for(benchmark, sandbox, model=asked.grader, base_url=asked.grader_url)
    sandbox.isolation()
    data = view_inside()
    evaluator = Evaluator(
        sandbox=sandbox,
        benchmark=asked.benchmark,
        engine=asked.engine,
        chat_template=template.text,
        limits=_whole_machine(),
        timeout_s=LONGEST_S,
        mounts=data.mounts,
        environment=data.environment,
        gpus=1,
        outside=OutsideScorer(benchmark, aids) if aids else None,
    )

    def score(folder: Path, on_progress: OnProgress) -> tuple[ScoreResult, ...]:
        shown = replace(evaluator, on_progress=on_progress)
        return (shown.score(asked.model.resolve(), asked.split, folder, asked.limit),)

    return Prepared(score, (items,), template.source)


def _served(asked: Asked) -> Prepared:
    """For a model behind a server: this process only asks."""
    if asked.chat_template is not None:
        raise SetupError(
            "a served model's chat template is the server's; start the server with --chat-template"
        )
    from posttrainbench.cli.inside import start_lightly
    from posttrainbench.engines.openai import OpenAIEngine, check_served, server_from

    start_lightly()
    benchmarks = [benchmark_named(name) for name in _names(asked)]
    items = tuple(len(benchmark.items(asked.split)) for benchmark in benchmarks)
    sandbox = sandbox_named(asked.sandbox)
    aids = [aids_for(each, sandbox, model=asked.grader, base_url=asked.grader_url) for each in benchmarks]
    if any(each is not None and each.sandbox is not None for each in aids):
        sandbox.isolation()
    in_flight = None if asked.in_flight is None else str(asked.in_flight)
    server = server_from(os.environ, base_url=asked.base_url, in_flight=in_flight)
    check_served(asked.model.as_posix(), server)
    evaluator = ServedEvaluator(
        benchmarks=tuple(zip(benchmarks, aids, strict=True)),
        engine=OpenAIEngine(server),
        versions=(("inspect-ai", version("inspect-ai")), ("httpx", version("httpx"))),
    )

    def score(folder: Path, on_progress: OnProgress) -> tuple[ScoreResult, ...]:
        shown = replace(evaluator, on_progress=on_progress)
        return shown.score(asked.model, asked.split, folder, asked.limit)

    return Prepared(score, items, "the server's own")


def _whole_machine() -> Limits:
    """Nine tenths of this machine's memory: the model is the person's own, and may need it."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(
        memory_bytes=memory_bytes * 9 // 10,
        pids=4096,
        disk_bytes=64 * GIB,
        file_bytes=16 * GIB,
        open_files=65_536,
        shm_bytes=4 * GIB,
        tmp_bytes=16 * GIB,
    )


def _new_folder(asked: Asked) -> Path:
    """A folder of its own for this evaluation: no earlier one is overwritten."""
    names = _names(asked)
    what = names[0] if len(names) == 1 else f"{len(names)}-benchmarks"
    name = f"{what}--{asked.model.resolve().name}"
    number = 1
    while (folder := asked.out / f"{name}--{number}").exists():
        number += 1
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror or error}; choose another --out") from None
    return folder.resolve()


# --- while it runs ------------------------------------------------------------------------------------------


@contextmanager
def _shown(console: Console, what: str) -> Iterator[OnProgress]:
    """Shows progress: a bar on a terminal, a line per tenth elsewhere."""
    if not console.is_terminal:
        yield _Tenths(console, what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield _OnBar(bar, what)


class _OnBar:
    """Moves a bar; the second time that samples are counted, they are scored outside."""

    def __init__(self, bar: Bar, what: str) -> None:
        self._bar, self._what, self._done = bar, what, 0
        self._task = bar.add_task(f"{what}: loading", total=None)

    def __call__(self, progress: Progress) -> None:
        doing = "scoring" if progress.done < self._done else "answering"
        if progress.done >= self._done and self._bar.tasks[0].description.endswith("scoring"):
            doing = "scoring"
        self._done = progress.done
        self._bar.update(
            self._task, completed=progress.done, total=progress.of, description=f"{self._what}: {doing}"
        )


class _Tenths:
    """Says each tenth, for logs."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what, self._said = console, what, 0

    def __call__(self, progress: Progress) -> None:
        tenth = 10 * progress.done // max(1, progress.of)
        if tenth != self._said:
            self._said = tenth
            self._console.print(f"{self._what}: {progress.done} of {progress.of} samples", highlight=False)


# --- afterwards ---------------------------------------------------------------------------------------------


def _print(asked: Asked, template: str, told: Sequence[Told], folder: Path, wall_s: float) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for one in told:
        _print_outcome(console, asked, one)
    console.print(f"model {asked.model}, engine {asked.engine}, chat template: {template}", style="dim")
    for one in told:
        for use in one.result.uses:
            prefix = f"{one.benchmark}: " if len(told) > 1 else ""
            console.print(prefix + _use(use), style="dim")
    console.print(f"{wall_s:.0f} s; files in {folder}", style="dim")
    if any(one.log for one in told):
        logs = "\n".join(f"log {one.log}" for one in told if one.log)
        console.print(f"{logs}\nlook at it: inspect view start --log-dir {folder}", style="dim")


def _print_outcome(console: Console, asked: Asked, told: Told) -> None:
    outcome, items = told.result.outcome, told.items
    taken = items if asked.limit is None else min(asked.limit, items)
    what = f"{told.benchmark}, {asked.split}, {taken} of {items} items"
    if not isinstance(outcome, Score):
        console.print(f"{what}: no score", style="bold red")
        console.print(visible(outcome.reason, 500))
        for line in _last_lines(told.folder / "output.log"):
            console.print(f"  {line}", style="dim")
        return
    console.print(f"{what}: {_score(outcome)}", style="bold")
    for part in outcome.parts:
        console.print(f"  {visible(part.name, 40)}: {points(part.mean)}% ({part.n} items)")
    if asked.limit is not None and taken < items:
        console.print("a look at the first items, not the benchmark's score", style="yellow")


def _score(score: Score) -> str:
    error = "" if score.stderr is None else f" ± {points(score.stderr)} (standard error)"
    return f"{points(score.mean)}%{error}"


def _use(use: ModelUse) -> str:
    evaluated = use.model.startswith(EVALUATED)
    name = "the evaluated model" if evaluated else visible(use.model, 80)
    unknown = "no cost known" if evaluated else "cost unknown"
    cost = unknown if use.cost_usd is None else f"{use.cost_usd:.4f} USD"
    return f"{name}: {use.input_tokens} tokens in, {use.output_tokens} out; {cost}"


def _last_lines(output: Path) -> list[str]:
    """The end of what a failed evaluation printed, made safe to show."""
    try:
        text = output.read_bytes()[-4000:].decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("ptb-progress ")]
    return [visible(line, 300) for line in lines[-LAST_LINES:]]


def _log(folder: Path, benchmark: str) -> Path | None:
    """Inspect's log of a benchmark, if the evaluation came so far."""
    found = folder.glob(f"*_{benchmark.replace('_', '-')}_*.eval")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _document(asked: Asked, template: str, told: Told, wall_s: float) -> dict[str, object]:
    return {
        "schema": "posttrainbench.evaluation/1",
        "benchmark": told.benchmark,
        "split": asked.split,
        "limit": asked.limit,
        "model": str(asked.model),
        "engine": asked.engine,
        "chat_template": template,
        "outcome": asdict(told.result.outcome),
        "uses": [asdict(use) for use in told.result.uses],
        "wall_s": wall_s,
        "folder": str(told.folder),
        "log": str(told.log) if told.log else None,
    }
