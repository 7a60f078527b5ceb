"""`tiny_math`: the embedded world's word problems with a final answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from posttrainbench.benchmarks.rows import digest_of, items_of, rows_of
from posttrainbench.protocols import TestItem
from posttrainbench.tinyworld import catalog

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask

MAX_TOKENS = 96  # the longest gold answer is well below


class TinyMath:
    """Word problems with a final answer: dev items may be queried, sealed ones make the score."""

    name = "tiny_math"
    title = "Tinyworld: word problems with a final answer"
    hub_id = "tinyworld/tiny-math"
    test_files = ("data/test.jsonl",)

    @property
    def folder(self) -> Path:
        """Where the data set's files lie."""
        return catalog.dataset_folder(self.hub_id)

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return digest_of(rows_of(self.folder, "test"))

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "train", "dev", "sealed" or "test" (dev + sealed)."""
        return items_of(rows_of(self.folder, split))

    def inspect_task(self, split: str) -> InspectTask:
        """Question in, one completion out; the number after the last `####` counts."""
        from posttrainbench.benchmarks.exact import exact_task
        from posttrainbench.scoring.final_answer import is_correct

        return exact_task(self.name, rows_of(self.folder, split), is_correct, MAX_TOKENS)
