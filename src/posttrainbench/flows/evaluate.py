"""Evaluate an admitted model: a fresh sandbox, no network, no secrets, our code and the model's weights."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from posttrainbench.budget import Limits
from posttrainbench.errors import FailureKind, InvalidFile
from posttrainbench.flows.sample_progress import Progress, ProgressReader
from posttrainbench.flows.score import ScoreJob, ScoreResult, score_answers, score_together
from posttrainbench.protocols import (
    Benchmark,
    Engine,
    Mount,
    Sandbox,
    SandboxEnd,
    SandboxJob,
    ScoredOutside,
    ScoringAids,
)
from posttrainbench.record import Evaluated, Failure, Score, Stage
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.trees import read_text
from posttrainbench.task import InspectSource

INSIDE = ("python", "-m", "posttrainbench.cli.inside")  # the program that answers a ScoreJob
LIKELIHOODS_INSIDE = ("python", "-m", "posttrainbench.cli.likelihoods_inside")  # and a LikelihoodJob
MODEL, OUT, OWN = "/model", "/out", "/own"
RESULT_CAP_BYTES = 1_000_000
# By what is being measured: others of this process wait for it rather than do it too.
_measuring: dict[Path, threading.Lock] = {}
_inspect = threading.Lock()  # one evaluation per process, and a registry that is changed by making one


@dataclass(frozen=True, slots=True)
class LikelihoodJob:
    """What the evaluation sandbox is asked of given answers: how likely the model finds them."""

    engine: str
    chat_template: str
    exchanges: tuple[tuple[str, str], ...]  # (question, answer)


@dataclass(frozen=True, slots=True)
class LikelihoodResult:
    """What the evaluation sandbox answers: nats, one for each answer."""

    log_likelihoods: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OutsideScorer:
    """What scores a benchmark's answers on the trusted side: a grader, or sandboxes to execute them in."""

    benchmark: Benchmark
    aids: ScoringAids

    def score(
        self,
        job: ScoreJob,
        out: Path,
        answered: ScoreResult,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ScoreResult:
        """The score of the answers that lie in `out`."""
        if not isinstance(self.benchmark, ScoredOutside):
            return answered
        with _inspect:
            task = self.benchmark.inspect_task(job.split)
            try:
                return score_answers(self.benchmark, task, job, out, self.aids, answered, on_progress)
            except InvalidFile as error:
                return _failure(f"the evaluator left no readable answers: {error}")


@dataclass(frozen=True, slots=True)
class Evaluator:
    """All that an evaluation needs but the model; the same for queries and for the final score."""

    sandbox: Sandbox
    benchmark: str
    engine: str
    chat_template: str
    limits: Limits
    timeout_s: float = 3600.0
    mounts: tuple[Mount, ...] = ()  # what the benchmark's data need
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    on_progress: Callable[[Progress], None] | None = None
    # What scores the answers that leave the sandbox as text, when no pure rule inside can; see ScoredOutside.
    outside: OutsideScorer | None = None
    shots: int = 0  # worked examples before each question; see ScoreJob
    seed: int = 0
    own: InspectSource | None = None  # of a benchmark that comes with its suite
    # A folder of evaluations that need not be made twice: of equal models, asked in the same way.
    measured: Path | None = None

    def evaluate(self, model: Path, split: str, out: Path) -> Evaluated:
        """The outcome of a model folder on a split; `out` keeps the job, its output and Inspect's log."""
        started = time.monotonic()
        result = self.score(model, split, out)
        return Evaluated(result.outcome, split, time.monotonic() - started, result.versions, result.grading)

    def score(self, model: Path, split: str, out: Path, limit: int | None = None) -> ScoreResult:
        """As `evaluate`, over the first `limit` samples only, with what each model was asked for."""
        out.mkdir(parents=True, exist_ok=True)
        job = ScoreJob(
            self.benchmark, split, self.engine, self.chat_template, limit, self.shots, self.seed, self.own
        )
        write_atomic(out / "job.json", to_json(job))
        if self.measured is None or self.outside is not None:
            return self._measure(job, model, out)
        kept = self.measured / _digest(job, model)
        with _measuring.setdefault(kept, threading.Lock()):
            if not kept.is_dir():
                result = self._measure(job, model, out)
                if isinstance(result.outcome, Score):
                    _keep(out, model, kept)
                return result
        shutil.copytree(kept, out, dirs_exist_ok=True)
        return from_json(ScoreResult, read_text(out, "result.json", RESULT_CAP_BYTES), "result.json")

    def _measure(self, job: ScoreJob, model: Path, out: Path) -> ScoreResult:
        end = self._run(INSIDE, model, out)
        result = self._answer(out, end)
        if result.answered is None or self.outside is None:
            return result
        return self.outside.score(job, out, result, self.on_progress)

    def log_likelihoods(
        self, model: Path, exchanges: Sequence[tuple[str, str]], out: Path
    ) -> tuple[float, ...]:
        """How likely a model finds the answer of each (question, answer), in nats; `out` as for a score.

        Raises:
            InvalidFile: the sandbox left no such answer.
        """
        out.mkdir(parents=True, exist_ok=True)
        job = LikelihoodJob(self.engine, self.chat_template, tuple(exchanges))
        write_atomic(out / "job.json", to_json(job))
        end = self._run(LIKELIHOODS_INSIDE, model, out)
        if end is None or end.exit_code != 0:
            raise InvalidFile(f"no likelihoods; see {out.name}/output.log")
        text = read_text(out, "result.json", RESULT_CAP_BYTES)
        told = from_json(LikelihoodResult, text, "result.json").log_likelihoods
        if len(told) != len(exchanges) or not all(math.isfinite(one) for one in told):
            raise InvalidFile(f"not a likelihood for each answer; see {out.name}/result.json")
        return told

    def _run(self, program: Sequence[str], model: Path, out: Path) -> SandboxEnd | None:
        """The sandbox's end, or None when it was stopped at the time limit."""
        with (out / "output.log").open("wb") as log:
            return self._run_logged(program, model, out, log.write)

    def _run_logged(
        self, program: Sequence[str], model: Path, out: Path, on_output: Callable[[bytes], object]
    ) -> SandboxEnd | None:
        reader = ProgressReader(self.on_progress) if self.on_progress else None

        def read(chunk: bytes) -> None:
            on_output(chunk)
            if reader is not None:
                reader.read(chunk)

        own = self._own_file()
        job = SandboxJob(
            argv=(*program, f"{OUT}/job.json", MODEL, *([f"{OWN}/{own.name}"] if own else [])),
            workdir=OUT,
            limits=self.limits,
            mounts=(
                Mount(model, MODEL),
                Mount(out, OUT, writable=True),
                *([Mount(own.parent, OWN)] if own else []),
                *self.mounts,
            ),
            environment={
                "HF_HUB_OFFLINE": "1",
                "INSPECT_LOG_LEVEL": "error",
                "INSPECT_EVAL_CTL_SERVER": "false",  # nobody steers an evaluation from outside
                "TOKENIZERS_PARALLELISM": "false",
                **self.environment,
            },
            package=True,
            watched=(out,),
            gpus=self.gpus,
        )
        process = self.sandbox.start(job, read)
        end = process.wait(self.timeout_s)
        if end is None:
            process.stop(grace_s=0)
        return end

    def _own_file(self) -> Path | None:
        """The file of a benchmark that comes with its suite; what lies beside it is shown inside too."""
        return Path(self.own.module) if self.own is not None and self.own.is_file else None

    def _answer(self, out: Path, end: SandboxEnd | None) -> ScoreResult:
        if end is None:
            return _failure(f"no result within {self.timeout_s:.0f} s")
        if end.exit_code != 0:
            why = f"hit its {end.limit} limit" if end.limit else f"ended with status {end.exit_code}"
            return _failure(f"the evaluator {why}; see {out.name}/output.log")
        try:
            return from_json(ScoreResult, read_text(out, "result.json", RESULT_CAP_BYTES), "result.json")
        except (OSError, InvalidFile) as error:
            return _failure(f"the evaluator left no readable result: {error}")


@dataclass(frozen=True, slots=True)
class ServedEvaluator:
    """Evaluates a model behind a server, in this process: nothing of the model runs here.

    Answers are scored as they come, those that need a grader or a sandbox too. Several benchmarks share the
    requests in flight.
    """

    benchmarks: tuple[tuple[Benchmark, ScoringAids | None], ...]
    engine: Engine
    versions: tuple[tuple[str, str], ...] = ()
    on_progress: Callable[[Progress], None] | None = None

    def score(self, model: Path, split: str, out: Path, limit: int | None = None) -> tuple[ScoreResult, ...]:
        """Each benchmark's score of a model, named as the server names it; `out` keeps Inspect's logs."""
        for benchmark, _ in self.benchmarks:
            (out / benchmark.name).mkdir(parents=True, exist_ok=True)
            job = ScoreJob(benchmark.name, split, self.engine.name, chat_template="", limit=limit)
            write_atomic(out / benchmark.name / "job.json", to_json(job))
        return score_together(
            self.benchmarks, self.engine, split, model, out, limit, self.on_progress, self.versions
        )


def _digest(job: ScoreJob, model: Path) -> str:
    """What a score depends on, in 64 hex digits: the job, and every file of the model."""
    digest = sha256(to_json(job).encode())
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(model)} {sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _keep(out: Path, model: Path, kept: Path) -> None:
    """Put an evaluation beside the others, whole; another one may have been faster."""
    aside = kept.with_name(f".{uuid4().hex}")
    shutil.copytree(out, aside, ignore=shutil.ignore_patterns(model.name))
    try:
        aside.rename(kept)
    except OSError:
        shutil.rmtree(aside)


def _failure(reason: str) -> ScoreResult:
    return ScoreResult(Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, reason), ())
