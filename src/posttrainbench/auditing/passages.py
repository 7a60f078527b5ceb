"""What the overlap check looks for: test items as passages, their rare grams, and what each word is worth.

A passage is a question or an answer, as words (`words.py`). A word's worth is its information, the logarithm
of how few known texts hold it; a gram of three words is *rare* when few known texts hold it. A benchmark is
*templated* when most of its items' wording is shared with other items. Pure; built once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posttrainbench.auditing.retold import Runs, build_runs
from posttrainbench.auditing.words import GRAM, grams, many, masked
from posttrainbench.protocols import TestItem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posttrainbench.auditing.words import Numbers, Places

    Weights = NDArray[np.float64]

MIN_QUESTION = 6  # words; shorter questions are not scored
MIN_ANSWER = 13
# Share of an item's 4-grams, numbers masked, that other items hold too: above it the item counts as
# templated, and when half of the items do, all. Medians measured: 0.22 on GSM8K, 0.84 and 0.86 on the tiny
# benchmarks.
TEMPLATED = 0.5
_TEMPLATE_GRAM = 4
_RARE = 0.0008  # a gram that a larger share of the known texts holds leads nowhere
_RARE_TEXTS = 8  # but what so few texts hold always does
_FEWEST_GRAMS = 4  # a passage without so many rare grams takes its rarest ones
_LEADS = 0.15  # share of a passage's rare grams that makes a stretch a candidate
_FEWEST_LEADS = 3
_SHORT = 16  # a passage of so few rare grams becomes a candidate by a single lead, others by two: weakly
_NEIGHBOUR_RARE = 0.02
_BITS = 20


@dataclass(frozen=True, slots=True)
class Passage:
    """A question or an answer to look for, or a train text; n words, m of them after masking."""

    item_id: str
    part: str
    spelled: Numbers  # (n,)
    weights: Weights  # (n,) nats
    masked: Numbers  # (m,)
    masked_weights: Weights  # (m,) nats
    nats: float  # their sum


@dataclass(frozen=True, slots=True)
class Table:
    """Rare gram -> where it stands in which passages. `high` and `low` say quickly what is not in it."""

    keys: Numbers  # (k,) sorted
    begins: Places  # (k + 1,)
    passages: Places
    offsets: Places  # in words of the passage
    high: NDArray[np.uint8]  # (2^_BITS / 8,) a bit for each value of a gram's highest bits
    low: NDArray[np.bool_]  # (2^_BITS,) whether a gram has such lowest bits

    def lookup(self, wanted: Numbers) -> tuple[Places, Places, Places]:
        """(place among `wanted`, passage, offset) of every occurrence."""
        import numpy as np

        high = _highest(wanted)
        places = np.flatnonzero(self.high[high >> 3] >> (high & 7).astype(np.uint8) & 1)
        places = places[self.low[_lowest(wanted[places])]]
        if not len(places) or not len(self.keys):
            return places[:0], places[:0], places[:0]
        found = np.minimum(np.searchsorted(self.keys, wanted[places]), len(self.keys) - 1)
        right = self.keys[found] == wanted[places]
        places, found = places[right], found[right]
        counts = self.begins[found + 1] - self.begins[found]
        ends = np.cumsum(counts)
        inner = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        postings = np.repeat(self.begins[found], counts) + inner
        return np.repeat(places, counts), self.passages[postings], self.offsets[postings]


def _highest(made: Numbers) -> Places:
    import numpy as np

    return (made >> np.uint64(64 - _BITS)).view(np.int64)


def _lowest(made: Numbers) -> Places:
    import numpy as np

    return (made & np.uint64((1 << _BITS) - 1)).view(np.int64)


def _table(keys: Numbers, passages: Places, offsets: Places) -> Table:
    import numpy as np

    order = np.argsort(keys, kind="stable")
    unique, begins = np.unique(keys[order], return_index=True)
    high, low = np.zeros((2, 1 << _BITS), np.bool_)
    high[_highest(unique)] = low[_lowest(unique)] = True
    ends = np.append(begins, len(keys))
    packed = np.packbits(high, bitorder="little")  # small enough to stay in a core's cache
    return Table(unique, ends, passages[order], offsets[order], packed, low)


@dataclass(frozen=True, slots=True)
class Sought:
    """The passages that a text is searched for, as spelled or with numbers masked, and how."""

    table: Table
    needed: Places  # (passages,) leads that make a candidate
    firm: Places  # (passages,) leads without which a find is weak
    lengths: Places  # (passages,) words
    slacks: Places  # (passages,) words by which they may disagree on the passage's beginning


@dataclass(frozen=True, slots=True)
class Index:
    """What is looked for, and the train texts that explain a find away."""

    passages: tuple[Passage, ...]
    templated: bool
    sought: Sought
    train: tuple[Passage, ...]
    train_table: Table
    unscored: int  # questions too short, or word for word in the train split
    runs: Runs  # what items are told by when no word is left


@dataclass(frozen=True, slots=True)
class _Reading:
    """All known texts one after the other, read in one way, with what each word and gram is worth."""

    spelled: Numbers  # (w,)
    texts: Places  # (w,) the text of each word
    bounds: Places  # (texts + 1,) where each text begins
    weights: Weights  # (w,) nats
    grams: Numbers  # (g,)
    at: Places  # (g,) where each gram begins
    holders: Places  # (g,) how many texts hold it

    def of(self, text: int) -> slice:
        return slice(int(self.bounds[text]), int(self.bounds[text + 1]))


def _reading(spelled: Numbers, texts: Places, count: int) -> _Reading:
    import numpy as np

    holders = _holders(spelled, texts)
    weights = np.log((count + 1) / (holders + 0.5))
    threes, at = _inner_grams(spelled, texts, GRAM)
    bounds = np.searchsorted(texts, np.arange(count + 1))
    return _Reading(spelled, texts, bounds, weights, threes, at, _holders(threes, texts[at]))


def _inner_grams(spelled: Numbers, texts: Places, size: int) -> tuple[Numbers, Places]:
    """The grams that lie within one text, and where each begins."""
    import numpy as np

    every = grams(spelled, size)
    at = np.flatnonzero(texts[: len(every)] == texts[len(texts) - len(every) :])
    return every[at], at


def _holders(values: Numbers, texts: Places) -> Places:
    """For each value, how many texts hold it."""
    import numpy as np

    _, kinds = np.unique(values, return_inverse=True)
    pairs = np.unique(kinds * (int(texts.max(initial=0)) + 1) + texts)
    return np.bincount(pairs // (int(texts.max(initial=0)) + 1), minlength=1)[kinds]


def build_index(test: Sequence[TestItem], train: Sequence[TestItem]) -> Index:
    """The index over a benchmark's test items, beside the train items that anybody may hold."""
    parts = [("question", item.id, item.question) for item in test]
    parts += [("answer", item.id, item.answer) for item in test]
    parts += [("train", item.id, text) for item in train for text in (item.question, item.answer)]
    read, texts = many([text for _, _, text in parts])
    plain = _reading(read.spelled, texts, len(parts))
    mask = masked(read, texts)
    veiled = _reading(mask.spelled, texts[mask.places], len(parts))
    held = [
        Passage(
            item_id, part, plain.spelled[plain.of(n)], plain.weights[plain.of(n)],
            veiled.spelled[veiled.of(n)], veiled.weights[veiled.of(n)],
            float(veiled.weights[veiled.of(n)].sum()),
        )
        for n, (part, item_id, _) in enumerate(parts)
    ]  # fmt: skip
    known = {one.spelled.tobytes() for one in held[2 * len(test) :]}
    templated = _templated(veiled, len(test))
    looked_for = [
        n
        for n, one in enumerate(held[: 2 * len(test)])
        if len(one.spelled) >= (MIN_QUESTION if one.part == "question" else MIN_ANSWER)
        and one.spelled.tobytes() not in known
    ]
    return Index(
        passages=tuple(held[n] for n in looked_for),
        templated=templated,
        sought=_sought(plain if templated else veiled, looked_for, weakly=not templated),
        train=tuple(held[2 * len(test) :]),
        train_table=_train_table(veiled, 2 * len(test)),
        unscored=len(test) - sum(held[n].part == "question" for n in looked_for),
        runs=build_runs(test, train),
    )


def _templated(veiled: _Reading, count: int) -> bool:
    """Whether the test questions, the first `count` texts, are made from few templates."""
    import numpy as np

    # An item's own answer repeats it: what counts is other questions, and train texts.
    asked = (veiled.texts < count) | (veiled.texts >= 2 * count)
    fours, at = _inner_grams(veiled.spelled[asked], veiled.texts[asked], _TEMPLATE_GRAM)
    texts = veiled.texts[asked][at]
    own = np.bincount(texts, minlength=count)[:count]
    elsewhere = np.bincount(texts, _holders(fours, texts) > 1, minlength=count)[:count]
    return bool(2 * (elsewhere > TEMPLATED * own).sum() > count)


def _sought(reading: _Reading, texts: Sequence[int], weakly: bool) -> Sought:
    """The rare grams of some texts; their places in the list are the passages' numbers."""
    import numpy as np

    limit = max(_RARE_TEXTS, int(_RARE * (len(reading.bounds) - 1)))
    begins = np.searchsorted(reading.at, reading.bounds)
    lengths = (reading.bounds[1:] - reading.bounds[:-1])[texts]
    needed, firm = np.zeros((2, len(texts)), np.int64)
    chosen: list[Places] = [np.zeros(0, np.int64)]
    for number, text in enumerate(texts):
        of = np.arange(begins[text], begins[text + 1])
        rare = of[reading.holders[of] <= limit]
        if len(rare) < _FEWEST_GRAMS:
            rare = of[np.argsort(reading.holders[of], kind="stable")[:_FEWEST_GRAMS]]
        share = math.ceil(_LEADS * len(rare))
        fewest = (1 if len(rare) <= _SHORT else 2) if weakly else _FEWEST_LEADS
        needed[number] = min(max(fewest, share), len(rare))
        firm[number] = min(max(_FEWEST_LEADS, share), len(rare))
        chosen.append(rare)
    where = np.concatenate(chosen)
    numbers = np.repeat(np.arange(len(texts)), [len(rare) for rare in chosen[1:]])
    offsets = reading.at[where] - reading.bounds[reading.texts[reading.at[where]]]
    return Sought(_table(reading.grams[where], numbers, offsets), needed, firm, lengths, 4 + lengths // 8)


def _train_table(veiled: _Reading, first: int) -> Table:
    """The grams of the train texts, numbered from 0, that not too many of them hold."""
    import numpy as np

    texts = veiled.texts[veiled.at]
    limit = max(_RARE_TEXTS, int(_NEIGHBOUR_RARE * (len(veiled.bounds) - 1)))
    where = np.flatnonzero((texts >= first) & (veiled.holders <= limit))
    return _table(veiled.grams[where], texts[where] - first, veiled.at[where])
