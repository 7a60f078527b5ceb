"""`aime2025`: thirty competition problems, zero-shot; the number on the last line counts.

Prompt and scorer are those of inspect_evals. Three problems hold control characters where a backslash was
lost; every public copy of this family has them, so they stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posttrainbench.datasets.catalog import AIME2025
from posttrainbench.datasets.folder import read_rows
from posttrainbench.protocols import TestItem
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask

MAX_TOKENS = 16_000
(TEST,) = AIME2025.files


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of the data set; the answer is an integer from 0 to 999, here or there written as text."""

    id: str
    problem: str
    answer: int | str


class Aime2025:
    """Thirty problems; there is no train split, and no public worked solution in the set."""

    name = AIME2025.benchmark
    title = "AIME 2025: competition mathematics"
    hub_id = AIME2025.hub_id
    test_files = ("*",)  # the repository holds nothing else

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return AIME2025.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "dev", "sealed" or "test" (dev + sealed); "train" is empty."""
        return tuple(
            TestItem(row.id, row.problem, str(row.answer), str(row.answer)) for row in self._rows(split)
        )

    def inspect_task(self, split: str) -> InspectTask:
        """The problem in the user message, one completion."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset
        from inspect_ai.model import GenerateConfig
        from inspect_evals.aime2025.aime2025 import record_to_sample
        from inspect_evals.utils.aime_common import aime_scorer, aime_solver

        rows = ({"id": row.id, "problem": row.problem, "answer": row.answer} for row in self._rows(split))
        return Task(
            dataset=MemoryDataset([record_to_sample(row) for row in rows], name=self.name),
            solver=aime_solver(),
            scorer=aime_scorer(),
            config=GenerateConfig(max_tokens=MAX_TOKENS),
            name=self.name,
        )

    def _rows(self, split: str) -> tuple[Problem, ...]:
        if split == "train":
            return ()
        return select(self.name, read_rows(TEST, Problem), lambda row: row.id, split)
