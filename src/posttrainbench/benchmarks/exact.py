"""Inspect tasks whose answers are right or wrong by a pure rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState, generate

from posttrainbench.benchmarks.rows import Row

Rule = Callable[[str, str], bool]  # (completion, target) -> right


@scorer(metrics=[accuracy(), stderr()])
def by_rule(rule: Rule) -> Scorer:
    """Scores a completion 1 or 0 by a rule."""

    async def score(state: TaskState, target: Target) -> Score:
        completion = state.output.completion
        return Score(value=float(rule(completion, target.text)), answer=completion)

    return score


def exact_task(name: str, rows: Sequence[Row], rule: Rule, max_tokens: int) -> Task:
    """One question, one completion, right or wrong; a row's part travels as `part` in the metadata."""
    samples = [
        Sample(input=row.question, target=row.target, id=row.id, metadata={"part": row.part}) for row in rows
    ]
    return Task(
        dataset=MemoryDataset(samples, name=name),
        solver=generate(),
        scorer=by_rule(rule),
        config=GenerateConfig(max_tokens=max_tokens),
        name=name,
    )
