"""Word problems of the tiny world: kinds, numbers, scenes, and the steps that solve them."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass

from posttrainbench.tinyworld.items import Side, side_of
from posttrainbench.tinyworld.vocabulary import ITEMS, PEOPLE

Numbers = tuple[int, ...]
LARGEST = 99  # no sum of the world passes this: models this small learn two digits well, three badly

_APPLY: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One sum, for example 12 + 30 = 42."""

    left: int
    operation: str
    right: int

    @property
    def result(self) -> int:
        return _APPLY[self.operation](self.left, self.right)

    def __str__(self) -> str:
        return f"{self.left} {self.operation} {self.right} = {self.result}"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A family of problems that are solved by the same operations, applied from left to right.

    `ranges` bounds each number (inclusive). Scenes name the numbers in the order a, b, c, so that the number
    tuple of any question can be read off its text.
    """

    name: str
    novel: bool
    operations: str
    ranges: tuple[tuple[int, int], ...]
    scenes: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem kind with its numbers and its wording."""

    kind: ProblemKind
    numbers: Numbers
    scene: str
    question: str

    @property
    def steps(self) -> tuple[Step, ...]:
        return steps_of(self.kind.operations, self.numbers)

    @property
    def result(self) -> int:
        return self.steps[-1].result

    @property
    def key(self) -> str:
        return key_of(self.kind.name, self.numbers)


def key_of(kind: str, numbers: Numbers) -> str:
    """The content key of a word problem: its kind and its number tuple."""
    return f"{kind}({','.join(map(str, numbers))})"


def steps_of(operations: str, numbers: Numbers) -> tuple[Step, ...]:
    """The sums that lead from the first number to the result."""
    steps: list[Step] = []
    total = numbers[0]
    for operation, number in zip(operations, numbers[1:], strict=True):
        steps.append(Step(total, operation, number))
        total = steps[-1].result
    return tuple(steps)


_SMALL, _DOZEN, _TENS = (2, 9), (2, 12), (2, 79)
_LEFT = ("How many {o} are left?", "How many {o} remain?", "How many {o} does {n} still have?")
_TOTAL = (
    "How many {o} are there in all?",
    "How many {o} is that in total?",
    "How many {o} does {n} have now?",
)

KINDS: tuple[ProblemKind, ...] = (
    ProblemKind(
        "gain",
        False,
        "+",
        (_TENS, _TENS),
        (
            "{n} had {a} {o}. {m} gave {n} {b} more {o}.",
            "{n} found {a} {o} and then bought {b} {o}.",
            "There were {a} {o} in a box. {n} put {b} more {o} in the box.",
            "{n} picked {a} {o} in the morning and {b} {o} in the evening.",
        ),
        _TOTAL,
    ),
    ProblemKind(
        "loss",
        False,
        "-",
        ((20, 99), _TENS),
        (
            "{n} had {a} {o}. {n} gave {b} {o} to {m}.",
            "{n} had {a} {o} but lost {b} {o}.",
            "There were {a} {o} in a box. {n} took {b} {o} out of the box.",
            "{n} bought {a} {o} and sold {b} {o} to {m}.",
        ),
        _LEFT,
    ),
    ProblemKind(
        "groups",
        False,
        "*",
        (_SMALL, _DOZEN),
        (
            "{n} had {a} bags with {b} {o} in each bag.",
            "{n} bought {a} packs. Each pack had {b} {o}.",
            "Each of {a} friends brought {b} {o} to {n}.",
            "{n} filled {a} shelves with {b} {o} on each shelf.",
        ),
        _TOTAL,
    ),
    ProblemKind(
        "share",
        False,
        "/",
        ((4, 99), _SMALL),
        (
            "{n} split {a} {o} equally among {b} friends.",
            "{n} put {a} {o} into {b} bags, the same number in each bag.",
            "{a} {o} were shared equally by {b} children.",
            "{n} laid {a} {o} in {b} equal rows.",
        ),
        ("How many {o} are in each part?", "How many {o} is that for each?"),
    ),
    ProblemKind(
        "gain_loss",
        False,
        "+-",
        (_TENS, _TENS, _TENS),
        (
            "{n} had {a} {o}. {m} gave {n} {b} more {o}. Then {n} lost {c} {o}.",
            "{n} bought {a} {o} and found {b} {o}. Later {n} sold {c} {o}.",
            "There were {a} {o} in a box. {n} added {b} {o} and {m} took {c} {o} out.",
        ),
        _LEFT,
    ),
    ProblemKind(
        "loss_loss",
        False,
        "--",
        ((40, 99), (2, 49), (2, 49)),
        (
            "{n} had {a} {o}. {n} lost {b} {o} and gave {c} {o} to {m}.",
            "There were {a} {o} in a shop. {n} bought {b} {o} and {m} bought {c} {o}.",
            "{n} bought {a} {o}. {b} {o} broke and {c} {o} were sold.",
        ),
        _LEFT,
    ),
    ProblemKind(
        "groups_gain",
        False,
        "*+",
        (_SMALL, _DOZEN, _TENS),
        (
            "{n} had {a} bags with {b} {o} in each bag. {m} gave {n} {c} more {o}.",
            "{n} bought {a} packs. Each pack had {b} {o}. Then {n} found {c} {o}.",
            "Each of {a} friends brought {b} {o} to {n}. {n} already had {c} {o}.",
        ),
        _TOTAL,
    ),
    ProblemKind(
        "gain_gain",
        True,
        "++",
        (_TENS, _TENS, _TENS),
        (
            "{n} had {a} {o}. {m} gave {n} {b} more {o}. Then {n} found {c} {o}.",
            "{n} picked {a} {o} on Monday, {b} {o} on Tuesday and {c} {o} on Friday.",
            "One box holds {a} {o}, the next one {b} {o} and the last one {c} {o}. {n} takes all of them.",
        ),
        _TOTAL,
    ),
    ProblemKind(
        "loss_gain",
        True,
        "-+",
        ((20, 99), _TENS, _TENS),
        (
            "{n} had {a} {o}. {n} lost {b} {o} and then found {c} {o}.",
            "There were {a} {o} in a shop. {n} bought {b} {o}. Then {m} brought {c} new {o} to the shop.",
            "{n} bought {a} {o} and sold {b} {o}. Later {n} bought {c} more {o}.",
        ),
        ("How many {o} are there now?", "How many {o} is that in the end?"),
    ),
    ProblemKind(
        "groups_loss",
        True,
        "*-",
        (_SMALL, _DOZEN, _TENS),
        (
            "{n} had {a} bags with {b} {o} in each bag. {n} gave {c} {o} to {m}.",
            "{n} bought {a} packs. Each pack had {b} {o}. Then {n} lost {c} {o}.",
            "{n} filled {a} shelves with {b} {o} on each shelf. {m} took {c} {o} away.",
        ),
        _LEFT,
    ),
    ProblemKind(
        "difference",
        True,
        "-",
        ((20, 99), _TENS),
        (
            "{n} has {a} {o} and {m} has {b} {o}.",
            "{n} counted {a} {o}. {m} counted only {b} {o}.",
            "There are {a} {o} in the big box and {b} {o} in the small box of {n}.",
        ),
        ("How many {o} more is that?", "How many {o} is the difference?"),
    ),
)

FAMILIAR_KINDS = tuple(kind for kind in KINDS if not kind.novel)
NOVEL_KINDS = tuple(kind for kind in KINDS if kind.novel)


def draw_numbers(kind: ProblemKind, rng: random.Random, side: Side) -> Numbers:
    """Numbers that make a sound story of this kind and whose content key lies on the given side."""
    while True:
        numbers = tuple(rng.randint(low, high) for low, high in kind.ranges)
        if _is_sound(kind.operations, numbers) and side_of(key_of(kind.name, numbers)) == side:
            return numbers


def _is_sound(operations: str, numbers: Numbers) -> bool:
    """Whether no step shares unevenly, gives something below 1, or grows past what the world counts to."""
    steps = steps_of(operations, numbers)
    return all(
        1 <= step.result <= LARGEST
        and (step.operation != "/" or (step.left % step.right == 0 and step.result <= 12))
        for step in steps
    )


def draw_problem(kind: ProblemKind, rng: random.Random, side: Side) -> Problem:
    """A problem of this kind with fresh numbers from one side, in one of its wordings."""
    numbers = draw_numbers(kind, rng, side)
    first, second = rng.sample(PEOPLE, 2)
    words = {"n": first, "m": second, "o": rng.choice(ITEMS)}
    words |= dict(zip("abc", map(str, numbers), strict=False))
    scene = rng.choice(kind.scenes).format_map(words)
    return Problem(kind, numbers, scene, rng.choice(kind.questions).format_map(words))
