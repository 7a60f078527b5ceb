"""A benchmark's task for a model that knows no chat: worked examples in plain text before every question.

Source: the few-shot baseline of Rank et al., arXiv 2603.08640: no chat template, temperature 0.6, top-p 0.95.
Not covered: their choice of examples, which is not published; ours are the first of the train split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from posttrainbench.errors import SetupError
from posttrainbench.protocols import Benchmark, ShowsExamples, TestItem

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample

SHOTS = 3
TEMPERATURE, TOP_P = 0.6, 0.95
END = "\n\n"  # no token ends a turn in plain text: an empty line does


def few_shot(task: Task, benchmark: Benchmark, shots: int, seed: int) -> Task:
    """`task` with examples before each question; one that shows examples of its own keeps just those.

    Raises:
        SetupError: there is no train item to take an example from.
    """
    from inspect_ai import task_with
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.model import GenerateConfig

    sampled = task.config.merge(GenerateConfig(temperature=TEMPERATURE, top_p=TOP_P, seed=seed))
    if isinstance(benchmark, ShowsExamples):
        return task_with(task, config=sampled)
    text = examples_text(benchmark, shots)
    samples = [_after(text, sample) for sample in task.dataset]
    return task_with(
        task,
        dataset=MemoryDataset(samples, name=task.dataset.name),
        config=sampled.merge(GenerateConfig(stop_seqs=[END])),
    )


def examples_text(benchmark: Benchmark, shots: int) -> str:
    """The first train items, question and answer, each ended by an empty line.

    Raises:
        SetupError: there are none.
    """
    shown: Sequence[TestItem] = benchmark.items("train")[:shots]
    if not shown:
        raise SetupError(f"{benchmark.name} has no train items: there is nothing to show as an example")
    return "".join(f"{item.question}\n{item.answer}{END}" for item in shown)


def _after(examples: str, sample: Sample) -> Sample:
    """The sample with examples before its question."""
    if isinstance(sample.input, str):
        return sample.model_copy(update={"input": f"{examples}{sample.input}\n"})
    *before, question = sample.input
    asked = question.model_copy(update={"content": f"{examples}{question.text}\n"})
    return sample.model_copy(update={"input": [*before, asked]})
