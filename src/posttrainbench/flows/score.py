"""Score a model on a benchmark, in this process: load, run Inspect, keep its log.

This is what runs inside the evaluation sandbox; `flows/evaluate.py` is the side that starts that sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posttrainbench.errors import FailureKind
from posttrainbench.protocols import Benchmark, Engine
from posttrainbench.record import Failure, Outcome, Stage
from posttrainbench.scoring.summary import SampleScore, summarise

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What the evaluation sandbox is asked to do; paths are those inside it."""

    benchmark: str
    split: str
    engine: str
    model: str
    out: str
    chat_template: str


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What the evaluation sandbox answers."""

    outcome: Outcome
    versions: tuple[tuple[str, str], ...]


def score(
    benchmark: Benchmark, engine: Engine, model: Path, chat_template: str, split: str, out: Path
) -> Outcome:
    """The score of the model at `model` on a split; `out` gets Inspect's .eval log."""
    from inspect_ai import eval as inspect_eval

    logs = inspect_eval(
        benchmark.inspect_task(split),
        model=engine.inspect_model(model, chat_template),
        log_dir=str(out),
        log_format="eval",
        display="none",
        max_samples=1024,
        score_display=False,
        log_realtime=False,
        fail_on_error=False,
    )
    return outcome_of(logs[0])


def outcome_of(log: EvalLog) -> Outcome:
    """A score when every sample has one, else the reason why not."""
    samples = log.samples or []
    if log.status != "success":
        why = log.error.message if log.error else log.status
        return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, f"the evaluation ended early: {why}")
    broken = [sample for sample in samples if sample.error or not sample.scores]
    if broken or not samples:
        first = broken[0].error.message if broken and broken[0].error else "no score"
        reason = f"{len(broken)} of {len(samples)} samples have no score (the first: {first})"
        return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, reason)
    return summarise([_sample_score(sample) for sample in samples])


def _sample_score(sample: EvalSample) -> SampleScore:
    scores = sample.scores or {}
    value = next(iter(scores.values())).as_float()
    return SampleScore(str(sample.id), value, str(sample.metadata.get("part", "")))
