"""Score a model on a benchmark, in this process: load, run Inspect, keep its log.

This is what runs inside the evaluation sandbox; `flows/evaluate.py` is the side that starts that sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posttrainbench.errors import FailureKind
from posttrainbench.flows.few_shot import few_shot
from posttrainbench.flows.finished_samples import FinishedSample, FinishedSamples, listening
from posttrainbench.flows.sample_progress import Progress
from posttrainbench.grade import GradingSpend
from posttrainbench.protocols import Benchmark, Engine, ScoredOutside, ScoringAids
from posttrainbench.record import Failure, Outcome, Score, Stage
from posttrainbench.scoring.summary import SampleScore, sample_score, summarise
from posttrainbench.stores.answers import read_answers, write_answers
from posttrainbench.stores.samples import write_samples
from posttrainbench.task import InspectSource

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model
    from inspect_ai.solver import Solver

NOT_SCORED = "the answers are there, but nobody scored them: their benchmark needs a grader or a sandbox"


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What the evaluation sandbox is asked to do. Where the model lies, its command line says."""

    benchmark: str
    split: str
    engine: str
    chat_template: str
    limit: int | None = None  # only the first so many samples: a look, no score of the benchmark
    shots: int = 0  # worked examples in plain text before each question, sampled as the few-shot baseline is
    seed: int = 0  # of that sampling
    own: InspectSource | None = None  # of a benchmark that comes with its suite


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What one model (the evaluated one, a grader) was asked for in an evaluation."""

    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None  # None: no price is known


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What the evaluation sandbox answers."""

    outcome: Outcome
    versions: tuple[tuple[str, str], ...]
    uses: tuple[ModelUse, ...] = ()
    answered: int | None = None  # so many answers wait to be scored outside; the outcome says so until then
    grading: GradingSpend | None = None  # None: no grader took part


def score(
    benchmark: Benchmark,
    engine: Engine,
    job: ScoreJob,
    model: Path,
    out: Path,
    on_progress: Callable[[Progress], None] | None = None,
    versions: tuple[tuple[str, str], ...] = (),
    aids: ScoringAids | None = None,
) -> ScoreResult:
    """What `job` asks for, of the model at `model`; `out` gets Inspect's .eval log and each sample's score.

    Args:
        on_progress: hears of every finished sample, one caller per process at a time.
        versions: of the packages that were used, for the result.
        aids: for a benchmark that needs a grader or a sandbox. Without them its answers are left in `out`
            for `score_answers`.
    """
    from inspect_ai import task_with

    inspect_model = engine.inspect_model(model, job.chat_template)  # first: it may load by itself
    task = benchmark.inspect_task(job.split)
    if job.shots:
        task = few_shot(task, benchmark, job.shots, job.seed)
    if not isinstance(benchmark, ScoredOutside):
        ran = _run(task, inspect_model, job, out, on_progress)
        return ScoreResult(_kept(ran, out), versions, uses_of(ran.log))
    if aids is None:
        ran = _run(task, inspect_model, job, out / "answers", on_progress)
        return _answers_kept(ran, out, versions)
    with _grading(aids) as spent:
        scored = task_with(task, scorer=benchmark.scorer(aids))
        ran = _run(scored, inspect_model, job, out, on_progress)
    return _graded(_kept(ran, out), versions, uses_of(ran.log), spent)


def score_together(
    benchmarks: Sequence[tuple[Benchmark, ScoringAids | None]],
    engine: Engine,
    split: str,
    model: Path,
    out: Path,
    limit: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    versions: tuple[tuple[str, str], ...] = (),
) -> tuple[ScoreResult, ...]:
    """As `score`, for several benchmarks that share what the engine has in flight.

    One benchmark's last long answers leave places free; here another's take them. Those with the highest
    token limits are asked first, so that what ends last is short. `out` gets Inspect's logs, and for each
    benchmark a folder with the rest.
    """
    from inspect_ai import task_with

    inspect_model = engine.inspect_model(model, chat_template="")
    tasks: dict[str, Task] = {}
    with ExitStack() as stack:
        spent: dict[str, list[GradingSpend]] = {}
        for benchmark, aids in benchmarks:
            task = benchmark.inspect_task(split)
            if aids is not None and isinstance(benchmark, ScoredOutside):
                task = task_with(task, scorer=benchmark.scorer(aids))
                spent[benchmark.name] = stack.enter_context(_grading(aids))
            tasks[benchmark.name] = task
        longest_first = sorted(tasks.values(), key=lambda task: -(task.config.max_tokens or 0))
        ran = {
            one.log.eval.task: one for one in _run_all(longest_first, inspect_model, limit, out, on_progress)
        }
    return tuple(
        _graded(_kept(ran[name], out / name), versions, uses_of(ran[name].log), spent.get(name, []))
        for name in tasks
    )


def score_answers(
    benchmark: ScoredOutside,
    task: Task,
    job: ScoreJob,
    out: Path,
    aids: ScoringAids,
    answered: ScoreResult,
    on_progress: Callable[[Progress], None] | None = None,
) -> ScoreResult:
    """The score of answers that an evaluation sandbox left in `out`; only their text is taken from there.

    The task runs again with the answers in the model's place, so that `out` gets one log with everything.
    """
    from inspect_ai import task_with
    from inspect_ai.model import get_model

    answers = read_answers(out)
    with _grading(aids) as spent:
        scored = task_with(task, solver=_repeated(answers), scorer=benchmark.scorer(aids))
        ran = _run(scored, get_model("none/none"), job, out, on_progress)
    return _graded(_kept(ran, out), answered.versions, answered.uses, spent)


def _repeated(answers: Mapping[str, str]) -> Solver:
    """Says what was said before; a sample without an answer is an error, not an empty answer."""
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import Generate, TaskState, solver

    @solver(name="said_before")
    def said_before() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
            state.output = ModelOutput.from_content(str(state.model), answers[str(state.sample_id)])
            state.messages.append(state.output.message)
            return state

        return solve

    return said_before()


@contextmanager
def _grading(aids: ScoringAids) -> Iterator[list[GradingSpend]]:
    """While open, a grader's spend is watched; afterwards the list holds it, if there is a grader."""
    spent: list[GradingSpend] = []
    before = aids.grader.spend() if aids.grader is not None else None
    yield spent
    if aids.grader is not None and before is not None:
        spent.append(aids.grader.spend().since(before))


def _graded(
    outcome: Outcome,
    versions: tuple[tuple[str, str], ...],
    uses: tuple[ModelUse, ...],
    spent: list[GradingSpend],
) -> ScoreResult:
    """A result with what its grader took."""
    graders = tuple(
        ModelUse(spend.grader, spend.tokens.prompt, spend.tokens.completion, spend.cost_usd)
        for spend in spent
        if spend.tokens is not None
    )
    return ScoreResult(outcome, versions, uses + graders, grading=spent[0] if spent else None)


def _kept(ran: Ran, out: Path) -> Outcome:
    """What an evaluation came to; each sample's score lies in `out` afterwards."""
    outcome = _outcome(ran)
    if isinstance(outcome, Score):
        write_samples(out, [_sample_score(sample) for sample in ran.samples])
    return outcome


def _answers_kept(ran: Ran, out: Path, versions: tuple[tuple[str, str], ...]) -> ScoreResult:
    """A result that waits for its score; the answers lie in `out` afterwards, unless one is missing."""
    samples = ran.log.samples or []
    finished = [FinishedSample.of(sample) for sample in samples]
    broken = _ended_early(ran.log) or _broken(finished, [sample for sample in finished if sample.error])
    if broken is not None:
        return ScoreResult(broken, versions, uses_of(ran.log))
    write_answers(out, {str(sample.id): sample.output.completion for sample in samples})
    return ScoreResult(_failure(NOT_SCORED), versions, uses_of(ran.log), answered=len(samples))


@dataclass(frozen=True, slots=True)
class Ran:
    """A task's log, and what each of its samples came to."""

    log: EvalLog
    samples: Sequence[FinishedSample]


def _run(
    task: Task,
    model: Model,
    job: ScoreJob,
    out: Path,
    on_progress: Callable[[Progress], None] | None,
) -> Ran:
    """What a task came to."""
    (ran,) = _run_all([task], model, job.limit, out, on_progress)
    return ran


def _run_all(
    tasks: Sequence[Task],
    model: Model,
    limit: int | None,
    out: Path,
    on_progress: Callable[[Progress], None] | None,
) -> list[Ran]:
    """What tasks came to that run side by side, each begun in its turn."""
    from inspect_ai import eval as inspect_eval

    sizes = [len(task.dataset) if limit is None else min(limit, len(task.dataset)) for task in tasks]
    finished = FinishedSamples(sum(sizes), on_progress)
    with listening(finished):
        logs = inspect_eval(
            list(tasks),
            model=model,
            limit=limit,
            log_dir=str(out),
            log_format="eval",
            display="none",
            max_samples=1024,
            max_tasks=len(tasks),
            score_display=False,
            log_realtime=False,
            fail_on_error=False,
        )
    return [Ran(log, _samples(log, finished)) for log in logs]


def _samples(log: EvalLog, finished: FinishedSamples) -> list[FinishedSample]:
    """A log's samples as they were heard of; read from it when that is not all of them."""
    from inspect_ai.log import read_eval_log_sample_summaries

    heard = finished.by_evaluation.get(log.eval.eval_id, [])
    if log.results is None or len(heard) != log.results.total_samples:
        heard = [FinishedSample.of(sample) for sample in read_eval_log_sample_summaries(log.location)]
    return sorted(heard, key=lambda sample: sample.id)


def uses_of(log: EvalLog) -> tuple[ModelUse, ...]:
    """Tokens and cost of every model that a log names."""
    return tuple(
        ModelUse(name, use.input_tokens, use.output_tokens, use.total_cost)
        for name, use in log.stats.model_usage.items()
    )


def _outcome(ran: Ran) -> Outcome:
    """A score when every sample has one, else the reason why not."""
    without = [sample for sample in ran.samples if sample.error or sample.value is None]
    failure = _ended_early(ran.log) or _broken(ran.samples, without)
    return failure or summarise([_sample_score(sample) for sample in ran.samples])


def _ended_early(log: EvalLog) -> Failure | None:
    if log.status == "success":
        return None
    return _failure(f"the evaluation ended early: {log.error.message if log.error else log.status}")


def _broken(samples: Sequence[FinishedSample], without: Sequence[FinishedSample]) -> Failure | None:
    """Why some samples, or all for want of any, have no score."""
    if samples and not without:
        return None
    first = (without[0].error if without else None) or "no score"
    return _failure(f"{len(without)} of {len(samples)} samples have no score (the first: {first})")


def _failure(reason: str) -> Failure:
    return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, reason)


def _sample_score(sample: FinishedSample) -> SampleScore:
    assert sample.value is not None
    return sample_score(sample.id, sample.value, sample.part, sample.told)
