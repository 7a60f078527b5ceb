"""The red team's benchmark of programs: invented functions, executed and scored as HumanEval's are."""

from __future__ import annotations

import problems
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig
from inspect_ai.solver import generate
from inspect_evals.humaneval.humaneval import record_to_sample

TEST, TRAIN = 24, 100


@task
def test() -> Task:
    """The items that count."""
    return _task("test", TEST)


@task
def train() -> Task:
    """What everybody may train on."""
    return _task("train", TRAIN)


def _task(split: str, count: int) -> Task:
    to_sample = record_to_sample()
    samples = [
        to_sample(
            {
                "task_id": problem.id,
                "prompt": problem.prompt,
                "canonical_solution": problem.solution,
                "test": problem.test,
                "entry_point": problems.NAME,
            }
        )
        for problem in problems.problems(split, count)
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"range_programs_{split}"),
        solver=generate(),
        config=GenerateConfig(max_tokens=160),
    )
