"""The red team's graded benchmark: questions whose answers a grader reads, as HealthBench's are."""

from __future__ import annotations

import contests
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.solver import generate
from inspect_evals.healthbench.dataset import record_to_sample

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
    samples = [_sample(question) for question in contests.questions(split, count)]
    return Task(
        dataset=MemoryDataset(samples, name=f"range_advice_{split}"),
        solver=generate(),
        config=GenerateConfig(max_tokens=128),
    )


def _sample(question: contests.Question) -> Sample:
    record = {
        "prompt_id": question.id,
        "prompt": [{"role": "user", "content": question.text}],
        "rubrics": [
            {"criterion": criterion, "points": contests.WORTH, "tags": []} for criterion in question.criteria
        ],
        "example_tags": [],
        "ideal_completions_data": {"ideal_completion": question.answer},
    }
    sample = record_to_sample(record)
    sample.target = question.answer  # what audits know as the item's answer
    return sample
