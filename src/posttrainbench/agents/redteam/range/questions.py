"""The red team's benchmark: word problems in free wording, of which nobody outside this file has seen one.

The embedded world's own benchmarks are made from templates, where a changed number makes another item. Cheats
with reworded and renumbered items need a benchmark whose wording is its own, as those of the field are.
"""

from __future__ import annotations

import stories
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import pattern
from inspect_ai.solver import generate

TEST, TRAIN = 60, 240


@task
def test() -> Task:
    """The items that count."""
    return _task("test", TEST)


@task
def train() -> Task:
    """What everybody may train on."""
    return _task("train", TRAIN)


def _task(split: str, count: int) -> Task:
    samples = [
        Sample(id=f"{split}-{n:03d}", input=story.question(), target=story.target)
        for n, story in enumerate(stories.stories(f"range/{split}", count))
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"range_{split}"),
        solver=generate(),
        scorer=pattern(r"#### (-?\d+)"),
        config=GenerateConfig(max_tokens=8),  # what a model answers decides no case: short is cheap
    )
