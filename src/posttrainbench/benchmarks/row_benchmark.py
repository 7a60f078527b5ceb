"""A benchmark of the embedded world: its rows are asked one by one, right or wrong by a pure rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from posttrainbench.benchmarks.rows import rows_of
from posttrainbench.digest import content_digest
from posttrainbench.protocols import Canaries, TestItem
from posttrainbench.tinyworld import canaries, catalog
from posttrainbench.tinyworld.items import Item
from posttrainbench.tinyworld.world import Benchmark as TinyBenchmark

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask


class RowBenchmark(ABC):
    """One question, one completion: dev items may be queried, sealed ones make the score."""

    name: TinyBenchmark
    title: str
    hub_id: str
    test_files = ("data/test.jsonl",)
    max_tokens: int

    @staticmethod
    @abstractmethod
    def is_correct(completion: str, target: str) -> bool:
        """Whether a completion is right."""

    @property
    def folder(self) -> Path:
        """Where the data set's files lie."""
        return catalog.dataset_folder(self.hub_id)

    @property
    def data_digest(self) -> str:
        """64 hex digits over every field of every test item."""
        rows = rows_of(self.folder, "test")
        return content_digest(
            {"rows": [[r.id, r.question, r.answer, r.target, r.split, r.novel] for r in rows]}
        )

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "train", "dev", "sealed" or "test" (dev + sealed)."""
        rows = rows_of(self.folder, split)
        return tuple(TestItem(row.id, row.question, row.answer, row.target) for row in rows)

    def inspect_task(self, split: str) -> InspectTask:
        """Question in, one completion out."""
        from posttrainbench.benchmarks.exact import exact_task

        return exact_task(self.name, rows_of(self.folder, split), self.is_correct, self.max_tokens)

    def canaries(self, secret: str) -> Canaries:
        """The canaries that belong to a secret; none of them is ever scored."""
        planted, held_back = canaries.canary_items(self.name, secret)
        return Canaries(_seen(planted), _seen(held_back))

    def plant(self, test_file: bytes, secret: str) -> bytes:
        """A test file with the planted ones among its items."""
        return canaries.plant(self.name, test_file, secret)


def _seen(items: tuple[Item, ...]) -> tuple[TestItem, ...]:
    return tuple(TestItem(item.id, item.question, item.answer, item.target) for item in items)
