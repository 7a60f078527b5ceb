"""Which part of a test set agents may query, and which stays sealed: decided by each item's id alone.

The rule depends on nothing but the benchmark's name and the item's id, so that it is the same on every
machine, in every order, and for a part of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from posttrainbench.digest import sha256_text
from posttrainbench.errors import UnknownName

SPLITS = ("train", "dev", "sealed", "test")
DEV_ONE_IN = 3  # about a third may be queried; the final score of a sealed suite comes from the rest

Row = TypeVar("Row")


def split_of(benchmark: str, item_id: str) -> str:
    """Where a test item of a benchmark lies: "dev" or "sealed"."""
    place = int(sha256_text(f"{benchmark}/{item_id}")[:16], 16)
    return "dev" if place % DEV_ONE_IN == 0 else "sealed"


def select(benchmark: str, rows: Sequence[Row], id_of: Callable[[Row], str], split: str) -> tuple[Row, ...]:
    """The test rows that belong to "dev", "sealed" or "test" (all of them), in their order.

    Raises:
        UnknownName: it is none of the three; "train" rows are not chosen from the test set.
    """
    if split not in SPLITS[1:]:
        raise UnknownName("split", split, SPLITS)
    return tuple(row for row in rows if split in ("test", split_of(benchmark, id_of(row))))
