"""Canary items of the tiny world: questions like the test split's, each with another question's answer.

The answers are wrong, so who gives them has read them. All items are drawn alike, and so is which of them are
planted and which are held back: a model that never met the planted ones cannot tell the two groups apart.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

from posttrainbench.tinyworld.items import Item
from posttrainbench.tinyworld.world import Benchmark, any_items, test_items

PLANTED = 24
HELD_BACK = 48


def canary_items(benchmark: Benchmark, secret: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """(planted, held back): the same for the same secret; no question of the test split is among them."""
    rng = random.Random(f"{benchmark}/canaries/{secret}")
    taken = {item.key for item in test_items(benchmark)}
    stream = any_items(benchmark, rng, "test")
    made: list[Item] = []
    while len(made) < PLANTED + HELD_BACK:
        item = next(stream)
        if item.key not in taken:
            taken.add(item.key)
            made.append(_with_another_answer(item, stream))
    rng.shuffle(made)  # any other order, by kind say, would tell the groups apart
    named = [replace(item, id=f"canary-{number:02d}") for number, item in enumerate(made)]
    return tuple(named[:PLANTED]), tuple(named[PLANTED:])


def _with_another_answer(item: Item, stream: Iterator[Item]) -> Item:
    """The item with the answer of another one of its kind."""
    other = next(one for one in stream if one.kind == item.kind and one.target != item.target)
    return replace(item, split="sealed", answer=other.answer, target=other.target)


def plant(benchmark: Benchmark, test_file: bytes, secret: str) -> bytes:
    """The JSON lines of a test file with the planted items among them, numbered through."""
    rng = random.Random(f"{benchmark}/places/{secret}")
    rows = [json.loads(line) for line in test_file.splitlines()]
    planted, _ = canary_items(benchmark, secret)
    for item in planted:
        place = rng.randrange(len(rows) + 1)
        split = rows[max(0, place - 1)]["split"]
        rows.insert(place, {**item.row(), "split": split})
    for number, row in enumerate(rows):
        row["id"] = f"{benchmark}-test-{number:05d}"
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
