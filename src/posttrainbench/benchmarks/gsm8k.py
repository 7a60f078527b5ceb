"""`gsm8k`: grade-school word problems; ten worked examples before each, the last number of the answer counts.

The prompt, the form of an example and the scorer are those of inspect_evals and inspect_ai. So are their
limits: a number inside LaTeX (`\\boxed{7}`) is not seen, and numbers are equal at five significant digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posttrainbench.datasets.catalog import GSM8K
from posttrainbench.datasets.folder import read_rows
from posttrainbench.protocols import TestItem
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.dataset import Sample

FEW_SHOT = 10
MAX_TOKENS = 4000
TEST, TRAIN = GSM8K.files


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of the data set: the solution ends with `#### ` and the final answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A problem with its id: the split and the place in its file."""

    id: str
    problem: Problem


class Gsm8k:
    """1,319 test problems; the 7,473 of the train split are fair game for everyone."""

    name = GSM8K.benchmark
    title = "GSM8K: grade-school word problems"
    hub_id = GSM8K.hub_id
    test_files = ("*/test-*", "*test.jsonl")

    @property
    def data_digest(self) -> str:
        """64 hex digits over the test problems and those that the examples are taken from."""
        return GSM8K.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "train", "dev", "sealed" or "test" (dev + sealed)."""
        return tuple(
            TestItem(row.id, row.problem.question, row.problem.answer, _final(row.problem))
            for row in self._rows(split)
        )

    def inspect_task(self, split: str) -> InspectTask:
        """Ten examples in the system message, the problem in the user message, one completion."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset
        from inspect_ai.model import GenerateConfig
        from inspect_ai.scorer import match
        from inspect_ai.solver import generate, prompt_template, system_message
        from inspect_evals.gsm8k.gsm8k import MATH_PROMPT_TEMPLATE, sample_to_fewshot

        examples = "\n\n".join(sample_to_fewshot(sample) for sample in self.examples())
        return Task(
            dataset=MemoryDataset([_sample(row) for row in self._rows(split)], name=self.name),
            solver=[system_message(examples), prompt_template(MATH_PROMPT_TEMPLATE), generate()],
            scorer=match(numeric=True),
            config=GenerateConfig(max_tokens=MAX_TOKENS),
            name=self.name,
        )

    def examples(self) -> tuple[Sample, ...]:
        """The ten train problems that come before every question, drawn as inspect_evals draws them."""
        import numpy as np
        from inspect_evals.constants import DEFAULT_FEWSHOT_SEED

        rows = self._rows("train")
        drawn = np.random.default_rng(DEFAULT_FEWSHOT_SEED).permutation(len(rows))[:FEW_SHOT]
        return tuple(_sample(rows[place]) for place in drawn.tolist())

    def _rows(self, split: str) -> tuple[Numbered, ...]:
        file = TRAIN if split == "train" else TEST
        kind = "train" if split == "train" else "test"
        rows = tuple(Numbered(f"{kind}-{n}", row) for n, row in enumerate(read_rows(file, Problem)))
        return rows if split == "train" else select(self.name, rows, lambda row: row.id, split)


def _final(problem: Problem) -> str:
    return problem.answer.rpartition("####")[2].strip()


def _sample(row: Numbered) -> Sample:
    from inspect_evals.gsm8k.gsm8k import record_to_sample

    sample = record_to_sample({"question": row.problem.question, "answer": row.problem.answer})
    sample.id = row.id
    return sample
