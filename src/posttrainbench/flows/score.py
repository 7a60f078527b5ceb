"""Score a model on a benchmark, in this process: load, run Inspect, keep its log.

This is what runs inside the evaluation sandbox; `flows/evaluate.py` is the side that starts that sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from posttrainbench.errors import FailureKind
from posttrainbench.flows.sample_progress import Progress, announced
from posttrainbench.protocols import Benchmark, Engine
from posttrainbench.record import Failure, Outcome, Score, Stage
from posttrainbench.scoring.summary import SampleScore, summarise
from posttrainbench.stores.samples import write_samples

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

# Inspect's letters for correct, incorrect and no answer; an answer that was not given earns nothing.
GRADES = {"C": 1.0, "I": 0.0, "N": 0.0}


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What the evaluation sandbox is asked to do. Where the model lies, its command line says."""

    benchmark: str
    split: str
    engine: str
    chat_template: str
    limit: int | None = None  # only the first so many samples: a look, no score of the benchmark


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


def score(
    benchmark: Benchmark,
    engine: Engine,
    job: ScoreJob,
    model: Path,
    out: Path,
    on_progress: Callable[[Progress], None] | None = None,
    versions: tuple[tuple[str, str], ...] = (),
) -> ScoreResult:
    """What `job` asks for, of the model at `model`; `out` gets Inspect's .eval log and each sample's score.

    Args:
        on_progress: hears of every finished sample, one caller per process at a time.
        versions: of the packages that were used, for the result.
    """
    from inspect_ai import eval as inspect_eval

    task = benchmark.inspect_task(job.split)
    samples = len(task.dataset) if job.limit is None else min(job.limit, len(task.dataset))
    with announced(samples, on_progress) if on_progress else nullcontext():
        logs = inspect_eval(
            task,
            model=engine.inspect_model(model, job.chat_template),
            limit=job.limit,
            log_dir=str(out),
            log_format="eval",
            display="none",
            max_samples=1024,
            score_display=False,
            log_realtime=False,
            fail_on_error=False,
        )
    outcome = outcome_of(logs[0])
    if isinstance(outcome, Score):
        write_samples(out, [_sample_score(sample) for sample in logs[0].samples or []])
    return ScoreResult(outcome, versions, uses_of(logs[0]))


def uses_of(log: EvalLog) -> tuple[ModelUse, ...]:
    """Tokens and cost of every model that a log names."""
    return tuple(
        ModelUse(name, use.input_tokens, use.output_tokens, use.total_cost)
        for name, use in log.stats.model_usage.items()
    )


def outcome_of(log: EvalLog) -> Outcome:
    """A score when every sample has one, else the reason why not."""
    samples = log.samples or []
    if log.status != "success":
        why = log.error.message if log.error else log.status
        return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, f"the evaluation ended early: {why}")
    broken = [sample for sample in samples if sample.error or _value(sample) is None]
    if broken or not samples:
        first = broken[0].error.message if broken and broken[0].error else "no score"
        reason = f"{len(broken)} of {len(samples)} samples have no score (the first: {first})"
        return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, reason)
    return summarise([_sample_score(sample) for sample in samples])


def _sample_score(sample: EvalSample) -> SampleScore:
    value = _value(sample)
    assert value is not None
    return SampleScore(str(sample.id), value, str(sample.metadata.get("part", "")))


def _value(sample: EvalSample) -> float | None:
    """The sample's first score, or None when there is none that is a number."""
    score = next(iter((sample.scores or {}).values()), None)
    if score is None:
        return None
    if isinstance(score.value, str):
        return GRADES.get(score.value)
    value = score.as_float()
    return value if isfinite(value) else None
