"""Benchmark items, and the rule that assigns each item's content to the train or the test side."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "test"]
Split = Literal["train", "instruct", "dev", "sealed"]

TEST_SHARE_PERCENT = 25


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its gold response.

    `answer` is the full gold response, `target` the part that is scored, `kind` the problem kind or the tool.
    `key` names the content regardless of wording: two items with one key ask the same thing.
    """

    id: str
    split: Split
    question: str
    answer: str
    target: str
    kind: str
    novel: bool
    key: str

    def row(self) -> dict[str, str | bool]:
        """The item as one line of a data file; only test rows say what is novel and what is sealed."""
        fields: dict[str, str | bool] = {
            "id": self.id,
            "question": self.question,
            "answer": self.answer,
            "target": self.target,
            "kind": self.kind,
        }
        if self.split in ("dev", "sealed"):
            fields |= {"novel": self.novel, "split": self.split}
        return fields


def side_of(key: str) -> Side:
    """Train or test, by a stable hash of the content key: no wording can move content across."""
    digest = hashlib.sha256(key.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % 100 < TEST_SHARE_PERCENT else "train"
