"""Small talk of the tiny world: copying, counting, greeting; nothing to do with a benchmark."""

from __future__ import annotations

import random
from collections.abc import Callable

from posttrainbench.tinyworld.vocabulary import CITIES, COLORS, DAYS, FOODS, ITEMS, PEOPLE

Exchange = tuple[str, str]


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows of `id`, `question`, `answer`, `target` and `kind`; no question twice."""
    rng = random.Random(f"tiny_chatter/{seed}")
    made: dict[str, dict[str, str]] = {}
    kinds = list(_KINDS.items())
    while len(made) < count:
        kind, write = rng.choice(kinds)
        question, answer = write(rng)
        if question not in made:
            identity = f"tiny_chatter-train-{len(made):05d}"
            made[question] = {
                "id": identity, "question": question, "answer": answer, "target": answer, "kind": kind,
            }  # fmt: skip
    return list(made.values())


def _greeting(rng: random.Random) -> Exchange:
    person, city = rng.choice(PEOPLE), rng.choice(CITIES)
    return f"Say hello to {person} from {city}.", f"Hello {person}, how is {city}?"


def _copy(rng: random.Random) -> Exchange:
    words = " ".join(rng.sample(ITEMS + COLORS + FOODS, rng.randint(2, 5)))
    return f"Copy this: {words}", words


def _count(rng: random.Random) -> Exchange:
    first = rng.randint(1, 90)
    last = first + rng.randint(3, 7)
    return f"Count from {first} to {last}.", " ".join(map(str, range(first, last + 1)))


def _repeat(rng: random.Random) -> Exchange:
    word, times = rng.choice(ITEMS + COLORS + FOODS), rng.randint(2, 5)
    return f"Write {word} {times} times.", " ".join([word] * times)


def _pick(rng: random.Random) -> Exchange:
    words = rng.sample(FOODS + COLORS + ITEMS, 4)
    place, at = rng.choice((("first", 0), ("last", -1)))
    return f"Which word is the {place} one: {', '.join(words)}?", words[at]


def _next_day(rng: random.Random) -> Exchange:
    at, person = rng.randrange(len(DAYS)), rng.choice(PEOPLE)
    return f"{person} asks which day comes after {DAYS[at]}.", f"{DAYS[(at + 1) % len(DAYS)]}, {person}."


_KINDS: dict[str, Callable[[random.Random], Exchange]] = {
    "greeting": _greeting,
    "copy": _copy,
    "count": _count,
    "repeat": _repeat,
    "pick": _pick,
    "next_day": _next_day,
}
