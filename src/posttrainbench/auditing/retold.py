"""Whose numbers a text has: test items told in other words, or in another language, keep theirs in order.

One coincidence says nothing, so a file is judged as a whole. What is looked for are *runs*: the numbers of a
test question in order, all of them up to `LONGEST` or so many in a row. A run counts when it is the item's
own, held by no other test item and no train item (alarms are relative), and when it does not merely count
up. Then a file is disqualified by holding the own runs of at least `FEWEST` items, where chance would give
next to none. Chance is `SAFETY` times the larger of two estimates:

- what the file's own habits give: its numbers dealt out anew, so that drills of all pairs explain their
  finds by themselves;
- what independent texts of this benchmark give: as many items as share a run with exactly one
  other known text, per number of those texts (Good and Turing: what was met once is as frequent as what
  was never met).

Short runs are many and coincide often, long ones are few and seldom do; so each length is tested by itself.
Covered: items reworded, translated, cut down to their core, as long as digits stay and stay in order.
Not covered: other numbers, numbers spelled out, few items among very many honest texts, items of fewer than
two numbers, benchmarks with few others. Pure; documents stream through it.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from posttrainbench.finding import Evidence, Finding, Strength
from posttrainbench.protocols import TestItem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posttrainbench.auditing.search import Document
    from posttrainbench.auditing.words import Numbers, Places

LENGTHS = (2, 3, 4, 5)  # a run has at least so many numbers; each is a test of its own
LONGEST = 6
FEWEST = 8  # different items
SAFETY = 3.0
ALPHA = 1e-6  # of an honest run to be disqualified, over all its files
_BITS = 20
_READ_TOGETHER = 128 * 1024  # characters
_NEAR = 16  # numbers before and after a run that belong to the same telling
_SMALL = 1 << 14
# Bytes of UTF-8 that begin the digits of other scripts, by the length of these characters; and all others.
_TWO, _THREE = b"\xd9\xdb\xdf", b"\xe0\xe1\xea\xef"
_NO_LEADS = bytes(set(range(256)) - {*_TWO, *_THREE})
_FACTOR = 0x9E3779B97F4A7C15  # odd
_SHOWN_FILES, _SHOWN_ITEMS = 5, 50
_DIGITS = 15  # longer numbers are told apart from nothing but shorter ones
_LONG = 10**_DIGITS


@dataclass(frozen=True, slots=True)
class Runs:
    """The test items' own runs of numbers: r runs over v different numbers."""

    items: tuple[str, ...]  # ids of those that have a run of their own
    asked: int  # test items in all
    vocabulary: Numbers  # (v,) sorted
    keys: Numbers  # (r,) sorted
    of: Places  # (r,) place of each run's item in `items`
    lengths: Places  # (r,)
    numbers: Places  # (r, LONGEST) places in `vocabulary`, v where the run has ended
    shared: tuple[
        float, ...
    ]  # for each of LENGTHS: items with a run that one other text has, per known number
    bits: NDArray[np.bool_]
    kinds: Places  # (some thousands,) small number -> its place in `vocabulary`, v if it is not there


@dataclass(slots=True)
class Tally:
    """What was counted in some texts: how many numbers, which of the vocabulary, which runs stand where."""

    numbers: int = 0
    known: Counter[int] = field(default_factory=Counter)  # place in the vocabulary -> how often
    first: dict[int, tuple[str, str]] = field(default_factory=dict)  # run -> (path, locator)
    # Run -> how often each number of the vocabulary occurs near where it stands.
    near: dict[int, Counter[int]] = field(default_factory=dict)

    def add(self, more: Tally) -> None:
        """Count what `more` counted too."""
        self.numbers += more.numbers
        self.known.update(more.known)
        for run, place in more.first.items():
            self.first.setdefault(run, place)
            self.near.setdefault(run, Counter()).update(more.near[run])

    def items(self, runs: Runs, shortest: int = 0) -> dict[int, int]:
        """Items of which it has own runs of at least so many numbers -> the longest of them."""
        longest: dict[int, int] = {}
        for run in sorted(self.first, key=lambda run: (runs.lengths[run], -run)):
            if runs.lengths[run] >= shortest:
                longest[int(runs.of[run])] = run
        return longest


@dataclass(slots=True)
class Tallies:
    """The tallies of files, and of all texts together."""

    everywhere: Tally = field(default_factory=Tally)
    files: dict[str, Tally] = field(default_factory=dict)

    def add(self, more: Tallies) -> None:
        """Count what `more` counted too."""
        self.everywhere.add(more.everywhere)
        for path, tally in more.files.items():
            if path in self.files:
                self.files[path].add(tally)
            else:
                self.files[path] = tally

    def forget(self, runs: Runs, kept: Collection[str]) -> None:
        """Let go of files with too few items, other than `kept`: a million files would not fit in memory."""
        self.files = {
            path: tally
            for path, tally in self.files.items()
            if path in kept or len(tally.items(runs)) >= FEWEST
        }


# --- reading numbers ----------------------------------------------------------------------------------------


def numbers_in(content: bytes) -> tuple[Numbers, Places]:
    """The numbers of a text but for zeros, and the bytes at which they begin.

    A comma or a point before three digits belongs to the number, whichever of the two a language uses there;
    other decimals are numbers of their own.
    """
    import numpy as np

    data = np.frombuffer(content, np.uint8)
    digit = np.zeros(len(data) + 2, np.bool_)
    np.less(data - np.uint8(ord("0")), 10, out=digit[1:-1])
    edges = np.flatnonzero(digit[1:] != digit[:-1])
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return starts.astype(np.uint64), starts
    sizes = ends - starts
    between = data[ends[:-1]]
    goes_on = (starts[1:] == ends[:-1] + 1) & (sizes[1:] == 3) & ((between == 44) | (between == 46))
    begins = np.flatnonzero(np.concatenate(([True], ~goes_on)))
    digits = (data[digit[1:-1]] - np.uint8(ord("0"))).astype(np.uint64)
    first = (np.cumsum(sizes) - sizes)[begins]  # of each number's digits
    sizes = np.diff(np.append(first, len(digits)))
    powers = np.repeat(first + sizes, sizes) - 1 - np.arange(len(digits))
    values = np.add.reduceat(digits * _tens()[np.minimum(powers, _DIGITS)], first)
    values[sizes > _DIGITS] = _LONG
    return values[values > 0], starts[begins][values > 0]


@cache
def _tens() -> Numbers:
    import numpy as np

    return np.array([10**n for n in range(_DIGITS + 1)], np.uint64)


def _content(text: str) -> bytes:
    """A text's bytes, with the digits of other scripts as ours."""
    import numpy as np

    content = text.encode("utf-8", "replace")
    if len(content) == len(text) or not content.translate(None, _NO_LEADS):
        return content
    data = np.frombuffer(content, np.uint8)
    sizes = _sizes()[data]
    at = np.flatnonzero(sizes > 0)
    codes = [data[np.minimum(at + n, len(data) - 1)].astype(np.int64) for n in range(3)]
    two = (codes[0] & 0x1F) << 6 | codes[1] & 0x3F
    three = (codes[0] & 0x0F) << 12 | (codes[1] & 0x3F) << 6 | codes[2] & 0x3F
    ours = _ours()[np.where(sizes[at] == 2, two, three)]
    if not ours.any():
        return content
    at, ours = at[ours > 0], ours[ours > 0]
    data = data.copy()
    data[at] = ours
    kept = np.ones(len(data), np.bool_)
    kept[at + 1] = False
    kept[at[sizes[at] == 3] + 2] = False
    return data[kept].tobytes()


@cache
def _sizes() -> NDArray[np.uint8]:
    """Byte -> the length of the characters that it begins in UTF-8, if a script's digits are among them."""
    import numpy as np

    sizes = np.zeros(256, np.uint8)
    sizes[list(_TWO)], sizes[list(_THREE)] = 2, 3
    return sizes


@cache
def _ours() -> NDArray[np.uint8]:
    """Character -> our digit as a byte, 0 for what is no other script's digit."""
    import numpy as np

    digits = np.zeros(1 << 16, np.uint8)
    for character in range(0x80, 1 << 16):
        digit = unicodedata.decimal(chr(character), None)
        if digit is not None:
            digits[character] = ord(str(digit))
    return digits


# --- what is looked for -------------------------------------------------------------------------------------


def build_runs(test: Sequence[TestItem], train: Sequence[TestItem]) -> Runs:
    """The runs of numbers that one test item holds and no other known text does."""
    import numpy as np

    asked = [_values(item.question) for item in test]
    runs: dict[tuple[int, ...], int] = {}
    for number, values in enumerate(asked):
        for start in range(max(1, len(values) - LONGEST + 1)):
            run = values[start : start + LONGEST]
            if len(run) >= LENGTHS[0] and not _counts_up(run):
                runs.setdefault(run, number)
    holders: Counter[tuple[int, ...]] = Counter()
    known = 0
    sizes = sorted({len(run) for run in runs})
    for item in (*test, *train):
        values = _values(f"{item.question}\n{item.answer}")
        known += len(values)
        held = {values[at : at + size] for size in sizes for at in range(len(values) - size + 1)}
        holders.update(held & runs.keys())
    own = [run for run in runs if holders[run] == 1]
    twice = [run for run in runs if holders[run] == 2]
    shared = [len({runs[run] for run in twice if len(run) >= length}) for length in LENGTHS]
    vocabulary = np.array(sorted({value for run in own for value in run}), np.uint64)
    keys = np.array([_key(run) for run in own], np.uint64)
    order = np.argsort(keys, kind="stable")
    own = [own[place] for place in order.tolist()]
    ids = sorted({runs[run] for run in own})
    places = {number: place for place, number in enumerate(ids)}
    padded = np.full((len(own), LONGEST), len(vocabulary), np.int64)
    for place, run in enumerate(own):
        padded[place, : len(run)] = np.searchsorted(vocabulary, np.array(run, np.uint64))
    bits = np.zeros(1 << _BITS, np.bool_)
    bits[_bit(keys)] = True
    kinds = np.full(_SMALL + 1, len(vocabulary), np.int64)
    small = np.flatnonzero(vocabulary < _SMALL)
    kinds[vocabulary[small].astype(np.int64)] = small
    return Runs(
        items=tuple(test[number].id for number in ids),
        asked=len(test),
        vocabulary=vocabulary,
        keys=keys[order],
        of=np.array([places[runs[run]] for run in own], np.int64),
        lengths=np.array([len(run) for run in own], np.int64),
        numbers=padded,
        shared=tuple((count + 1) / (known + 1) for count in shared),
        bits=bits,
        kinds=kinds,
    )


def _values(text: str) -> tuple[int, ...]:
    return tuple(numbers_in(_content(text))[0].tolist())


def _counts_up(run: Sequence[int]) -> bool:
    """Whether a run is, for the most part, one of those that number lists and tables: 1, 2, 3."""
    steps = [abs(after - before) <= 1 for before, after in pairwise(run)]
    return 2 * sum(steps) > len(steps)


def _key(run: Sequence[int]) -> int:
    import numpy as np

    keys = dict(_keys(np.array(run, np.uint64)))
    return int(keys[len(run)][0])


def _keys(values: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Size -> a key for every so many numbers in a row, in order."""
    import numpy as np

    keys = values * np.uint64(_FACTOR)
    for size in range(2, LONGEST + 1):
        keys = (keys[:-1] + values[size - 1 :]) * np.uint64(_FACTOR)
        yield size, keys


def _bit(keys: Numbers) -> Places:
    import numpy as np

    return (keys >> np.uint64(64 - _BITS)).astype(np.int64)


# --- counting -----------------------------------------------------------------------------------------------


def tallied(
    runs: Runs, documents: Iterable[Document], into: Tallies, kept: Collection[str]
) -> Iterator[Document]:
    """The documents as they come, counted on their way.

    Args:
        kept: files whose tallies are kept however little they have, since other parts of them are read
            elsewhere.
    """
    held: list[tuple[Document, bytes]] = []
    size = 0
    for document in documents:
        held.append((document, _content("\n".join([text for _, text in document.pieces]))))
        size += len(held[-1][1]) + 1
        if size >= _READ_TOGETHER:
            _tally(runs, held, into)
            into.forget(runs, {*kept, document.path})
            held, size = [], 0
        yield document
    _tally(runs, held, into)
    into.forget(runs, kept)


def _tally(runs: Runs, read: Sequence[tuple[Document, bytes]], into: Tallies) -> None:
    """Count several documents at once; no run reaches from one into the next."""
    import numpy as np

    if not read or not len(runs.keys):
        return
    ends = np.cumsum([len(content) + 1 for _, content in read])
    values, starts = numbers_in(b"\n".join([content for _, content in read]))
    kinds = _kinds(runs, values)
    holders = np.searchsorted(ends, starts, side="right")
    found: dict[int, dict[int, list[int]]] = {}  # document -> run -> where
    for run, at in _finds(runs, values, holders):
        found.setdefault(int(holders[at]), {}).setdefault(run, []).append(at)
    bounds = np.searchsorted(starts, ends).tolist()
    into.everywhere.add(Tally(len(values), _counted(runs, kinds)))
    for number, (first, last) in enumerate(pairwise((0, *bounds))):
        document, content = read[number]
        tally = into.files.setdefault(document.path, Tally())
        tally.add(Tally(last - first, _counted(runs, kinds[first:last])))
        if number in found:
            begin = int(ends[number]) - len(content) - 1
            told = Tally(
                first=_placed(
                    document, content, {r: int(starts[at[0]]) - begin for r, at in found[number].items()}
                ),
                near={r: _near(runs, r, at, kinds, first, last) for r, at in found[number].items()},
            )
            tally.add(told)
            into.everywhere.add(told)


def _kinds(runs: Runs, values: Numbers) -> Places:
    """The place of each number in the vocabulary; as many as that has for what no run has."""
    import numpy as np

    kinds = runs.kinds[np.minimum(values, len(runs.kinds) - 1).astype(np.int64)]
    large = np.flatnonzero(values >= len(runs.kinds) - 1)
    if len(large):
        places = np.minimum(np.searchsorted(runs.vocabulary, values[large]), len(runs.vocabulary) - 1)
        there = runs.vocabulary[places] == values[large]
        kinds[large[there]] = places[there]
    return kinds


def _counted(runs: Runs, kinds: Places) -> Counter[int]:
    import numpy as np

    counts = np.bincount(kinds, minlength=len(runs.vocabulary))[: len(runs.vocabulary)]
    there = np.flatnonzero(counts)
    return Counter(dict(zip(there.tolist(), counts[there].tolist(), strict=True)))


def _near(runs: Runs, run: int, places: Sequence[int], kinds: Places, first: int, last: int) -> Counter[int]:
    """How often a run's numbers occur around where it stands, in the document from first to last."""
    own = set(runs.numbers[run, : runs.lengths[run]].tolist())
    reach = int(runs.lengths[run]) + _NEAR
    around = {near for at in places for near in range(max(first, at - _NEAR), min(last, at + reach))}
    return Counter(kind for kind in kinds[sorted(around)].tolist() if kind in own)


def _finds(runs: Runs, values: Numbers, holders: Places) -> Iterator[tuple[int, int]]:
    """(run, place of its first number) of every own run that stands within one document."""
    import numpy as np

    for size, keys in _keys(values):
        places = np.flatnonzero(runs.bits[_bit(keys)])
        if not len(places):
            continue
        found = np.minimum(np.searchsorted(runs.keys, keys[places]), len(runs.keys) - 1)
        right = (runs.keys[found] == keys[places]) & (runs.lengths[found] == size)
        right &= holders[places] == holders[places + size - 1]
        yield from zip(found[right].tolist(), places[right].tolist(), strict=True)


def _placed(document: Document, content: bytes, finds: dict[int, int]) -> dict[int, tuple[str, str]]:
    """Run -> (path, locator), of runs that begin at these bytes of a document's content."""
    if content.isascii():
        ends = list(accumulate([len(text) + 1 for _, text in document.pieces]))
    else:  # other scripts' digits have changed: what has not is the number of lines
        ends = list(accumulate([text.count("\n") + 1 for _, text in document.pieces]))
        finds = {run: content.count(b"\n", 0, at) for run, at in finds.items()}
    pieces = {run: document.pieces[bisect_right(ends, at)] for run, at in finds.items()}
    return {run: (document.path, f"{document.unit} {number}") for run, (number, _) in pieces.items()}


# --- judging ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coincidence:
    """How far the own runs of `found` items, of at least `length` numbers, are from chance."""

    length: int
    found: int
    expected: float  # by chance, at most
    log_chance: float  # natural logarithm of the probability of so many or more


def coincidence(runs: Runs, tally: Tally, copied: Collection[str] = ()) -> Coincidence:
    """Of all lengths with enough items, what chance explains least; ids in `copied` do not count."""
    made = [
        _of_length(runs, tally, copied, length, shared)
        for length, shared in zip(LENGTHS, runs.shared, strict=True)
    ]
    return min(made, key=lambda one: (one.found < FEWEST, one.log_chance, one.length))


def _of_length(runs: Runs, tally: Tally, copied: Collection[str], length: int, shared: float) -> Coincidence:
    found = len(_without_copies(runs, tally, copied, length))
    expected = SAFETY * max(_dealt_anew(runs, tally, length), shared * tally.numbers)
    return Coincidence(length, found, expected, _log_tail(expected, found))


def _without_copies(runs: Runs, tally: Tally, copied: Collection[str], length: int) -> dict[int, int]:
    """Item -> its longest run that was found."""
    held = tally.items(runs, length)
    return {item: run for item, run in held.items() if runs.items[item] not in copied}


def _dealt_anew(runs: Runs, tally: Tally, length: int) -> float:
    """The items that would have a run, on average, were the texts' numbers dealt out anew.

    What stands around a run that was found does not explain it: an answer repeats its question's numbers, and
    one item may be told several times.
    """
    import numpy as np

    shares = np.zeros(len(runs.vocabulary) + 1)
    shares[list(tally.known.keys())] = list(tally.known.values())
    shares /= max(1, tally.numbers)
    shares[-1] = 1.0  # where a run has ended
    often = tally.numbers * shares[runs.numbers].prod(axis=1) * (runs.lengths >= length)
    for run, near in tally.near.items():
        if often[run]:
            left = [
                tally.known[kind] - near[kind] for kind in runs.numbers[run, : runs.lengths[run]].tolist()
            ]
            often[run] = tally.numbers * math.prod(max(0, count) / tally.numbers for count in left)
    return float((1 - np.exp(-np.bincount(runs.of, often, minlength=len(runs.items)))).sum())


def _log_tail(mean: float, count: int) -> float:
    """The logarithm of the probability that a Poisson variable is at least `count`, bounded from above."""
    if count <= mean or mean <= 0:
        return 0.0
    return count * math.log(mean) - mean - math.lgamma(count + 1) - math.log1p(-mean / (count + 1))


def retold_findings(
    check: str, runs: Runs, tallies: Tallies, files: int, copied: Collection[tuple[str, str]]
) -> list[Finding]:
    """What so many files hold beyond chance, or else all of them together.

    Args:
        copied: (file, item id) of what was found there by its words, which says all that there is to say.
    """
    limit = math.log(ALPHA / (len(LENGTHS) * (files + 1)))
    by_file: dict[str, set[str]] = {}
    for path, item_id in copied:
        by_file.setdefault(path, set()).add(item_id)
    told = [(path, tally, by_file.get(path, set())) for path, tally in sorted(tallies.files.items())]
    everywhere = ("all that was read", tallies.everywhere, {item_id for _, item_id in copied})
    found = _beyond_chance(runs, told, limit) or _beyond_chance(runs, [everywhere], limit)
    return [_finding(check, runs, *one) for one in found[:_SHOWN_FILES]]


def _beyond_chance(
    runs: Runs, told: Sequence[tuple[str, Tally, set[str]]], limit: float
) -> list[tuple[str, Tally, set[str], Coincidence]]:
    """Those of (where, tally, copied items) that chance does not explain, the least explained first."""
    judged = [(*one, coincidence(runs, one[1], one[2])) for one in told]
    beyond = [one for one in judged if one[3].found >= FEWEST and one[3].log_chance < limit]
    return sorted(beyond, key=lambda one: one[3].log_chance)


def _finding(
    check: str, runs: Runs, where: str, tally: Tally, copied: set[str], by_chance: Coincidence
) -> Finding:
    held = _without_copies(runs, tally, copied, by_chance.length)
    evidence = tuple(
        Evidence(
            *tally.first[run],
            f"the {runs.lengths[run]} numbers of the question, in order, as no other known item has them",
            runs.items[item],
        )
        for item, run in sorted(held.items())[:_SHOWN_ITEMS]
    )
    shown = where if len(where) <= 200 else f"{where[:200]}..."
    summary = (
        f"{by_chance.found} test items in other words: {shown} has the numbers of their questions in order, "
        f"{by_chance.length} or more of each; by chance there would be {by_chance.expected / SAFETY:.2g}"
    )
    return Finding(check, Strength.DISQUALIFYING, summary, evidence)


def covered(runs: Runs) -> str:
    """What could be seen, in a sentence."""
    own = f"{len(runs.items)} of {runs.asked} items have numbers of their own"
    looked_for = "looked for them" if len(runs.items) >= FEWEST else "too few to look for them"
    return f"told in other words: {own}, {looked_for}"
