"""A benchmark of the embedded world: rows of question, answer and target, right or wrong by a pure rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from posttrainbench.digest import content_digest
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.protocols import Canaries, TestItem
from posttrainbench.tinyworld import canaries, catalog
from posttrainbench.tinyworld.items import Item
from posttrainbench.tinyworld.world import Benchmark as TinyBenchmark

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask

SPLITS = ("train", "dev", "sealed", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a data set. `split` ("dev" or "sealed") and `novel` are given for test rows only."""

    id: str
    question: str
    answer: str
    target: str
    kind: str
    split: str = ""
    novel: bool | None = None

    @property
    def part(self) -> str:
        """Which part of the score it counts to."""
        return "" if self.novel is None else ("novel" if self.novel else "familiar")


_ROW = TypeAdapter(Row)


@cache
def read_rows(path: Path) -> tuple[Row, ...]:
    """Every row of a JSON-lines file."""
    return tuple(_ROW.validate_json(line) for line in path.read_bytes().splitlines())


def rows_of(folder: Path, split: str) -> tuple[Row, ...]:
    """The rows of a split of a data set folder; "test" is "dev" and "sealed" together.

    Raises:
        UnknownName: there is no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    if split == "train":
        return read_rows(folder / "data" / "train.jsonl")
    test = read_rows(folder / "data" / "test.jsonl")
    rows = tuple(row for row in test if split in ("test", row.split))
    if not rows:
        raise SetupError(f"{folder} holds no {split} items; install the package again")
    return rows


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
