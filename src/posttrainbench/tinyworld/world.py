"""The tiny world's benchmarks: word problems and tool calls, split by content into train and test.

What is disjoint: a word problem's content is its kind and its number tuple, a tool item's its canonical
call. A stable hash of the content picks the side, so no train item, no item of an instruct sibling's
training data and no story of a pre-training document shares its content with a test item, whatever the
wording. Some problem kinds and some tools are *novel*: the train split never shows them.
What is not: wordings, names and single sums are common to both sides, as words are in any language.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Literal

from posttrainbench.tinyworld.items import Item, Side, Split
from posttrainbench.tinyworld.stories import FAMILIAR_KINDS, KINDS, NOVEL_KINDS, ProblemKind, draw_problem
from posttrainbench.tinyworld.tools import FAMILIAR_TOOLS, NOVEL_TOOLS, TOOLS, Tool, draw_call, request

Benchmark = Literal["tiny_math", "tiny_tools"]
BENCHMARKS: tuple[Benchmark, ...] = ("tiny_math", "tiny_tools")

TRAIN_COUNT = 4000
TEST_COUNT = 300
DEV_COUNT = 100
INSTRUCT_COUNT = 12000
TOOLS_SHOWN = 3

_Draw = Callable[[random.Random, Side], Item]


def train_items(benchmark: Benchmark, count: int = TRAIN_COUNT) -> tuple[Item, ...]:
    """The train split: familiar kinds and tools only, no question twice."""
    rng = random.Random(f"{benchmark}/train")
    drawn = _draw_in_turn(_draws(benchmark, "familiar", FAMILIAR_TOOLS), rng, "train")
    return _number(benchmark, _distinct(drawn, count, by_question), "train")


def instruct_items(benchmark: Benchmark, count: int = INSTRUCT_COUNT, seed: int = 0) -> tuple[Item, ...]:
    """What an instruct sibling learns from: every kind and tool, the novel ones too, train side only."""
    rng = random.Random(f"{benchmark}/instruct/{seed}")
    drawn = _draw_in_turn(_draws(benchmark, "all", TOOLS), rng, "train")
    return _number(benchmark, _distinct(drawn, count, by_question), "instruct")


def test_items(benchmark: Benchmark, count: int = TEST_COUNT, dev_count: int = DEV_COUNT) -> tuple[Item, ...]:
    """The test split, familiar and novel in turn: first dev items, then sealed ones; no content twice."""
    rng = random.Random(f"{benchmark}/test")
    familiar = _draw_in_turn(_draws(benchmark, "familiar", TOOLS), rng, "test")
    novel = _draw_in_turn(_draws(benchmark, "novel", TOOLS), rng, "test")
    half = (count + 1) // 2
    pairs = zip(_distinct(familiar, half, by_content), _distinct(novel, half, by_content), strict=True)
    drawn = [item for pair in pairs for item in pair][:count]
    dev = _number(benchmark, drawn[:dev_count], "dev")
    return dev + _number(benchmark, drawn[dev_count:], "sealed", first=dev_count)


test_items.__test__ = False  # type: ignore[attr-defined]  # pytest: a split, not a test


def any_items(benchmark: Benchmark, rng: random.Random, side: Side) -> Iterator[Item]:
    """An endless stream of one side's items, every kind or tool in turn; contents may come again."""
    return _draw_in_turn(_draws(benchmark, "all", TOOLS), rng, side)


def by_question(item: Item) -> str:
    """The item's wording."""
    return item.question


def by_content(item: Item) -> str:
    """The item's content key."""
    return item.key


def _draws(
    benchmark: Benchmark, which: Literal["familiar", "novel", "all"], shown: Sequence[Tool]
) -> list[_Draw]:
    """One drawing function for each kind or tool; `shown` are the tools that a list may hold."""
    if benchmark == "tiny_math":
        kinds = {"familiar": FAMILIAR_KINDS, "novel": NOVEL_KINDS, "all": KINDS}[which]
        return [_math_draw(kind) for kind in kinds]
    tools = {"familiar": FAMILIAR_TOOLS, "novel": NOVEL_TOOLS, "all": TOOLS}[which]
    return [_tool_draw(tool, shown) for tool in tools]


def _math_draw(kind: ProblemKind) -> _Draw:
    def draw(rng: random.Random, side: Side) -> Item:
        problem = draw_problem(kind, rng, side)
        sums = " ".join(f"{step}." for step in problem.steps)
        target = str(problem.result)
        return Item(
            id="",
            split="train",
            question=f"{problem.scene} {problem.question}",
            answer=f"{sums}\n#### {target}",
            target=target,
            kind=kind.name,
            novel=kind.novel,
            key=problem.key,
        )

    return draw


def _tool_draw(tool: Tool, shown: Sequence[Tool]) -> _Draw:
    others = [other for other in shown if other is not tool]

    def draw(rng: random.Random, side: Side) -> Item:
        call = draw_call(tool, rng, side)
        listed = [tool, *rng.sample(others, TOOLS_SHOWN - 1)]
        rng.shuffle(listed)
        signatures = "; ".join(one.signature for one in listed)
        return Item(
            id="",
            split="train",
            question=f"Tools: {signatures}\n{request(call, rng)}",
            answer=str(call),
            target=str(call),
            kind=tool.name,
            novel=tool.novel,
            key=str(call),
        )

    return draw


def _draw_in_turn(draws: Sequence[_Draw], rng: random.Random, side: Side) -> Iterator[Item]:
    return (draw(rng, side) for draw in cycle(draws))


def _distinct(items: Iterator[Item], count: int, identity: Callable[[Item], str]) -> tuple[Item, ...]:
    seen: set[str] = set()

    def is_new(item: Item) -> bool:
        before = len(seen)
        seen.add(identity(item))
        return len(seen) > before

    return tuple(islice(filter(is_new, items), count))


def _number(benchmark: Benchmark, items: Sequence[Item], split: Split, first: int = 0) -> tuple[Item, ...]:
    """The items with their ids; dev and sealed items are numbered through as one test split."""
    shown = "test" if split in ("dev", "sealed") else split
    return tuple(
        Item(
            id=f"{benchmark}-{shown}-{number:05d}",
            split=split,
            question=item.question,
            answer=item.answer,
            target=item.target,
            kind=item.kind,
            novel=item.novel,
            key=item.key,
        )
        for number, item in enumerate(items, first)
    )
