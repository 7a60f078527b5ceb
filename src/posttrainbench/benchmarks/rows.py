"""The rows of an embedded data set: question, answer and target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from posttrainbench.errors import SetupError, UnknownName

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
