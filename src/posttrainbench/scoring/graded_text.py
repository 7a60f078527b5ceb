"""An answer as a grader reads it: without its thinking, and without runaway repetition.

Hard cases, each with a row in the tests:
- thinking is cut only where the answer opens with it, or where a template opened it and the answer only
  closes it: a mark in the middle of a text is text;
- thinking that never ends leaves no answer at all;
- a repeated word, line or paragraph is kept five times in a row, whatever follows it;
- five repetitions stay as they are, and so do short runs of signs: rules, dots, indentation;
- a text that repeats with a counter in it does not repeat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"
KEPT_REPEATS = 5
LONGEST_UNIT_WORDS = 200  # a paragraph
LONGEST_UNIT_CHARACTERS = 32  # for runs without blanks
RUNAWAY_CHARACTERS = 200  # shorter runs of signs are rules and dots, not a model that got stuck

_WORDS = re.compile(r"\S+\s*")


def graded_text(completion: str) -> str:
    """What a grader is shown of a completion."""
    text = completion.encode("utf-8", "replace").decode()  # half a character cannot be sent to anybody
    return without_repetition(without_thinking(text)).strip()


def without_thinking(completion: str) -> str:
    """The completion behind its `<think>...</think>`; empty when the thinking never ends."""
    text = completion.lstrip()
    _, closed, answer = text.partition(CLOSE)
    if text.startswith(OPEN):
        return answer.lstrip() if closed else ""
    if closed and OPEN not in text:  # the template had opened it
        return answer.lstrip()
    return completion


def without_repetition(text: str) -> str:
    """The text with everything that repeats more than five times in a row cut to five times."""
    signs = _cut(text, text, LONGEST_UNIT_CHARACTERS, RUNAWAY_CHARACTERS)
    start = len(signs) - len(signs.lstrip())
    words = _WORDS.findall(signs)
    bare = [word.rstrip() for word in words]  # the blanks between words do not matter
    return signs[:start] + _cut(words, bare, LONGEST_UNIT_WORDS, 1)


@dataclass(frozen=True, slots=True)
class Run:
    """A unit that repeats: items `start` to `stop`, one unit after the other."""

    start: int
    stop: int
    unit: int


def runs(items: Sequence[str], longest_unit: int) -> list[Run]:
    """Where a unit of at most `longest_unit` items stands more than five times in a row, in order.

    A run that two units explain is told of the shorter one. The time it takes grows with the text and the
    logarithm of the unit, not with their product: a run cannot hide between the places that are looked at.
    """
    found: dict[int, Run] = {}
    inside = bytearray(len(items))
    for unit in range(1, min(longest_unit, len(items) // (KEPT_REPEATS + 1)) + 1):
        for place in range(0, len(items) - unit, KEPT_REPEATS * unit):
            if inside[place] or items[place] != items[place + unit]:
                continue
            run = _run_at(items, place, unit)
            if run.stop - run.start > KEPT_REPEATS * unit and not inside[run.start]:
                found[run.start] = run
                inside[run.start : run.stop] = b"\1" * (run.stop - run.start)
    return [found[start] for start in sorted(found)]


def _run_at(items: Sequence[str], place: int, unit: int) -> Run:
    """The longest stretch around `place` in which every item equals the one a unit later, in whole units."""
    start = place
    while start > 0 and items[start - 1] == items[start - 1 + unit]:
        start -= 1
    stop = place
    while stop + unit < len(items) and items[stop] == items[stop + unit]:
        stop += 1
    return Run(start, start + ((stop - start) // unit + 1) * unit, unit)


def _cut(pieces: Sequence[str], items: Sequence[str], longest_unit: int, shortest_run: int) -> str:
    """The pieces joined, each run of equal units cut; runs of less than `shortest_run` items stay."""
    kept: list[str] = []
    position = 0
    for run in runs(items, longest_unit):
        if run.start < position or run.stop - run.start < shortest_run:
            continue
        kept += pieces[position : run.start + KEPT_REPEATS * run.unit]
        position = run.stop
    return "".join([*kept, *pieces[position:]])
