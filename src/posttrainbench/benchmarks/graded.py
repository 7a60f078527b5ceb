"""Inspect tasks that a grader scores: weighted scores, parts of their own, and metrics that know of both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState, generate

from posttrainbench.errors import SetupError
from posttrainbench.protocols import Grader, ScoringAids
from posttrainbench.record import Score as Summary
from posttrainbench.scoring.summary import SHARES, WEIGHT, sample_score, summarise


def answered_task(name: str, samples: Sequence[Sample], max_tokens: int) -> Task:
    """One completion per sample, scored outside."""
    return Task(
        dataset=MemoryDataset(list(samples), name=name),
        solver=generate(),
        config=GenerateConfig(max_tokens=max_tokens),
        name=name,
    )


def scored_by(name: str, grade: Callable[[TaskState], Awaitable[Score]]) -> Scorer:
    """The Inspect scorer of that name, with weighted metrics."""

    @scorer(metrics=[weighted_mean(), weighted_stderr()], name=name)
    def by_grade() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
            return await grade(state)

        return score

    return by_grade()


def grader_of(aids: ScoringAids, benchmark: str) -> Grader:
    """The grader among the aids.

    Raises:
        SetupError: there is none.
    """
    if aids.grader is None:
        raise SetupError(f"{benchmark} needs a grader: set PTB_GRADER_BASE_URL and PTB_GRADER_API_KEY")
    return aids.grader


def graded_score(
    value: float,
    answer: str,
    *,
    weight: float = 1.0,
    shares: Mapping[str, float] | None = None,
    why: str,
) -> Score:
    """An Inspect score that `posttrainbench.scoring.summary` reads in full."""
    return Score(
        value=value, answer=answer, explanation=why, metadata={WEIGHT: weight, SHARES: dict(shares or {})}
    )


@metric
def weighted_mean() -> Metric:
    """The mean as our record has it, so that Inspect's viewer shows the same number."""
    return _of_summary(lambda summary: summary.mean)


@metric
def weighted_stderr() -> Metric:
    """The standard error of that mean; NaN when there is none."""
    return _of_summary(lambda summary: float("nan") if summary.stderr is None else summary.stderr)


def _of_summary(number: Callable[[Summary], float]) -> Metric:
    def compute(scores: list[SampleScore]) -> float:
        samples = [
            sample_score(str(s.sample_id), s.score.as_float(), "", s.score.metadata or {}) for s in scores
        ]
        return number(summarise(samples)) if samples else float("nan")

    return cast(Metric, compute)
