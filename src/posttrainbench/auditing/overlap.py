"""Which test items lie in the texts that an agent wrote or downloaded; question and answer scored separately.

How: a document and a passage (a question or an answer) are compared as words (`words.py`). Rare grams, three
words in a row that few known texts hold, lead to candidates: stretches where several agree on where the
passage would begin. A candidate counts by the words that it and the passage have in common *in order*, each
weighted by its information, the logarithm of how few known texts hold it. What is enough depends:

- *free* benchmarks (most of an item's wording is its own, as in GSM8K): `ENOUGH` of its information and at
  least `NATS` of it, numbers masked, or less in 13 words in a row. More of answers: short programs are alike;
- *templated* ones (most of the wording is shared with other items): all of it, word for word. There, numbers
  and names are what differs, and anything less would flag honest data of the same template.

Alarms are relative: what is as near to some train item as to the test item is evidence for nobody. What has
too little information for an alarm is *weak*: it adds to the items that a file is known to hold, no more.
Answers of fewer than 13 words say nothing by themselves and are not scored.

Covered: question only, question with any answer; look-alike and zero-width characters; text read backward;
names and numbers changed, a good part of the words replaced. Not covered: translations and thorough
paraphrases; templated items with a word changed; items of a few words unless copied whole.
Pure; the index is built once, documents stream through it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from posttrainbench.auditing.verdict import report
from posttrainbench.auditing.words import GRAM, Masked, Words, folded, grams, many, masked, words
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength
from posttrainbench.protocols import TestItem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posttrainbench.auditing.words import Numbers, Places

    Weights = NDArray[np.float64]

CHECK = "overlap"
ENOUGH = 0.55  # share of a free passage's information; chosen on GSM8K
NATS = 20.0  # information below this is a coincidence somewhere in a large corpus
# Below this it is one anywhere. What lies between is *weak*: it counts where the same file holds more items
# than are tolerated without it. Chosen after seeing MBPP, whose questions have 31 nats at the median.
WEAK_NATS = 10.0
ENOUGH_ANSWER = 0.8
WHOLE = 0.999  # share that is enough of a passage that has less information
RUN = 13  # words in a row that make `RUN_SHARE` enough
RUN_SHARE = 0.3  # of its information: how competitions end their questions is longer than 13 words
MIN_QUESTION = 6  # words; shorter questions are not scored
MIN_ANSWER = 13
# Share of an item's 4-grams, numbers masked, that other items hold too: above it the item counts as
# templated, and when half of the items do, all. Medians measured: 0.22 on GSM8K, 0.84 and 0.86 on the tiny
# benchmarks.
TEMPLATED = 0.5
_RARE = 0.0008  # a gram that a larger share of the known texts holds leads nowhere
_RARE_TEXTS = 8  # but what so few texts hold always does
_FEWEST_GRAMS = 4  # a passage without so many rare grams takes its rarest ones
_LEADS = 0.15  # share of a passage's rare grams that makes a stretch a candidate
_FEWEST_LEADS = 3
_SHORT = 16  # a passage of so few rare grams becomes a candidate by a single lead, others by two: weakly
_TRIES = 4  # stretches of a document looked at for one passage, thickest first
_NEIGHBOURS = 5  # train texts compared with a find
_NEIGHBOUR_RARE = 0.02
_TEMPLATE_GRAM = 4
_RUN_LEADS = 4  # rare grams that a run has at least
_BITS = 20
_READ_TOGETHER = 128 * 1024  # characters
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Document:
    """A stretch of text of a file: `pieces` are (number, text), numbered by `unit` ("line", "row", ...)."""

    path: str
    unit: str
    pieces: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A test item's question or answer, found."""

    item_id: str
    part: str  # "question" or "answer"
    path: str
    locator: str
    covered: float  # share of the passage's information
    length: int  # words
    weak: bool = False  # a coincidence by itself: counts only beside finds that are none, see `supported`


# --- the index ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Passage:
    """A question or an answer to look for, or a train text; n words, m of them after masking."""

    item_id: str
    part: str
    spelled: Numbers  # (n,)
    weights: Weights  # (n,) nats
    masked: Numbers  # (m,)
    masked_weights: Weights  # (m,) nats


@dataclass(frozen=True, slots=True)
class _Table:
    """Rare gram -> where it stands in which passages. `bits` says quickly what is not in it."""

    keys: Numbers  # (k,) sorted
    begins: Places  # (k + 1,)
    passages: Places
    offsets: Places  # in words of the passage
    bits: NDArray[np.bool_]

    def lookup(self, wanted: Numbers) -> tuple[Places, Places, Places]:
        """(place among `wanted`, passage, offset) of every occurrence."""
        import numpy as np

        places = np.flatnonzero(self.bits[_bit(wanted)])
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


def _bit(spelled: Numbers) -> Places:
    import numpy as np

    return (spelled >> np.uint64(64 - _BITS)).astype(np.int64)


def _table(keys: Numbers, passages: Places, offsets: Places) -> _Table:
    import numpy as np

    order = np.argsort(keys, kind="stable")
    unique, begins = np.unique(keys[order], return_index=True)
    bits = np.zeros(1 << _BITS, np.bool_)
    bits[_bit(unique)] = True
    return _Table(unique, np.append(begins, len(keys)), passages[order], offsets[order], bits)


@dataclass(frozen=True, slots=True)
class _Sought:
    """The passages that a text is searched for, as spelled or with numbers masked, and how."""

    table: _Table
    needed: Places  # (passages,) leads that make a candidate
    firm: Places  # (passages,) leads without which a find is weak
    lengths: Places  # (passages,) words
    slacks: Places  # (passages,) words by which they may disagree on the passage's beginning


@dataclass(frozen=True, slots=True)
class Index:
    """What is looked for, and the train texts that explain a find away."""

    passages: tuple[_Passage, ...]
    templated: bool
    sought: _Sought
    train: tuple[_Passage, ...]
    train_table: _Table
    unscored: int  # questions too short, or word for word in the train split


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
        _Passage(
            item_id, part, plain.spelled[plain.of(n)], plain.weights[plain.of(n)],
            veiled.spelled[veiled.of(n)], veiled.weights[veiled.of(n)],
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


def _sought(reading: _Reading, texts: Sequence[int], weakly: bool) -> _Sought:
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
    return _Sought(_table(reading.grams[where], numbers, offsets), needed, firm, lengths, 4 + lengths // 8)


def _train_table(veiled: _Reading, first: int) -> _Table:
    """The grams of the train texts, numbered from 0, that not too many of them hold."""
    import numpy as np

    texts = veiled.texts[veiled.at]
    limit = max(_RARE_TEXTS, int(_NEIGHBOUR_RARE * (len(veiled.bounds) - 1)))
    where = np.flatnonzero((texts >= first) & (veiled.holders <= limit))
    return _table(veiled.grams[where], texts[where] - first, veiled.at[where])


# --- the search ---------------------------------------------------------------------------------------------


def search(index: Index, documents: Iterable[Document]) -> Iterator[Hit]:
    """The items that documents hold. Small documents are read together: a search has a price of its own."""
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += sum(len(text) + 1 for _, text in document.pieces) + 1
        if size >= _READ_TOGETHER:
            yield from find(index, *held)
            held, size = [], 0
    yield from find(index, *held)


def find(index: Index, *documents: Document) -> list[Hit]:
    """The items that documents hold between them, each where it is most complete."""
    pieces = [(document, number, text) for document in documents for number, text in document.pieces]
    texts = [folded(text) for _, _, text in pieces]
    best: dict[int, tuple[float, int, bool]] = {}
    for read in words("\n".join(texts)):
        for number, start, covered, weak in _finds(index, read):
            best[number] = max(best.get(number, (0.0, 0, True)), (covered, int(read.starts[start]), weak))
    ends = list(accumulate(len(text.encode("utf-8", "replace")) + 1 for text in texts)) if best else []
    hits = []
    for number, (covered, byte, weak) in best.items():
        wanted = index.passages[number]
        document, piece, _ = pieces[bisect_right(ends, byte)]
        locator = f"{document.unit} {piece}"
        length = len(wanted.spelled)
        hits.append(Hit(wanted.item_id, wanted.part, document.path, locator, covered, length, weak))
    return hits


def _finds(index: Index, read: Words) -> Iterator[tuple[int, int, float, bool]]:
    """(passage, first word, share covered, weak) of every passage that a reading of a text holds."""
    import numpy as np

    stream = Masked(read.spelled, np.arange(len(read.spelled))) if index.templated else masked(read)
    for number, leads in _candidates(index.sought, stream.spelled):
        passage, slack = index.passages[number], int(index.sought.slacks[number])
        for first, last, covered, weak in _matches(passage, index.templated, stream.spelled, leads, slack):
            start, end = int(stream.places[first]), int(stream.places[last]) + 1
            if not _explained(index, passage, read, start, end):
                yield number, start, covered, weak
                break


@dataclass(frozen=True, slots=True)
class _Leads:
    """The rare grams of one passage in a text, by where the passage would begin in it.

    The k-th is the last of `counts[k]` that agree on the beginning, give or take the passage's slack.
    """

    places: Places
    begins: Places
    counts: Places
    needed: int
    firm: int


def _candidates(sought: _Sought, spelled: Numbers) -> Iterator[tuple[int, _Leads]]:
    """The passages of which enough leads agree."""
    import numpy as np

    places, passages, offsets = sought.table.lookup(grams(spelled))
    # Beginnings before the text are negative; `far` apart, no two passages' leads agree.
    far = np.int64(len(spelled) + 2 * int(sought.lengths.max(initial=0)) + 1)
    begins = places - offsets
    order = np.argsort(passages * far + begins, kind="stable")
    places, passages, begins = places[order], passages[order], begins[order]
    where = passages * far + begins
    earliest = np.searchsorted(where, where - 2 * sought.slacks[passages])
    counts = np.arange(1, len(where) + 1) - earliest
    thick = np.flatnonzero(counts >= sought.needed[passages])
    for number in dict.fromkeys(passages[thick].tolist()):
        of = slice(*np.searchsorted(passages, (number, number + 1)))
        yield (
            number,
            _Leads(places[of], begins[of], counts[of], int(sought.needed[number]), int(sought.firm[number])),
        )


def _matches(
    passage: _Passage, templated: bool, spelled: Numbers, leads: _Leads, slack: int
) -> Iterator[tuple[int, int, float, bool]]:
    """(first word, last word, share covered, weak) of each stretch that holds the passage, thickest first."""
    length = len(passage.spelled if templated else passage.masked)
    counts = leads.counts.copy()
    for _ in range(_TRIES):
        last = int(counts.argmax())
        if counts[last] < leads.needed:
            return
        agreed = slice(last - int(leads.counts[last]) + 1, last + 1)
        begins, places = leads.begins[agreed], leads.places[agreed]
        middle = int(begins[len(begins) // 2])
        low, high = max(0, middle - slack), middle + length + slack
        match = (
            _whole(passage, spelled, begins)
            if templated
            else _share(passage, spelled[low:high], places) or _run(passage, spelled, begins)
        )
        if match:
            weak = not templated and (counts[last] < leads.firm or _is_weak(passage, match[2]))
            yield *match, bool(weak)
        counts[(leads.places >= low) & (leads.places < high)] = 0
        counts[agreed] = 0


def _whole(passage: _Passage, spelled: Numbers, shifts: Places) -> tuple[int, int, float] | None:
    """Where the passage stands word for word."""
    for start in dict.fromkeys(shifts.tolist()):
        end = start + len(passage.spelled)
        if start >= 0 and spelled[start:end].tobytes() == passage.spelled.tobytes():
            return start, end - 1, 1.0
    return None


def _share(passage: _Passage, window: Numbers, places: Places) -> tuple[int, int, float] | None:
    """The stretch of the leads, when enough of the passage's information stands around them."""
    import numpy as np

    whole = float(passage.masked_weights.sum())
    enough = _enough(passage)
    # Words in any order bound words in order, and are counted sooner.
    there = set(window.tolist())
    inside = np.fromiter((word in there for word in passage.masked.tolist()), np.bool_)
    if passage.masked_weights[inside].sum() < enough:
        return None
    common = _common(passage.masked[inside], passage.masked_weights[inside], window)
    if common < enough:
        return None
    return int(places.min()), int(places.max()) + GRAM - 1, common / whole


def _enough(passage: _Passage) -> float:
    """The nats that make a find, be it a weak one. Answers to different questions may well be alike: code."""
    whole = float(passage.masked_weights.sum())
    if passage.part == "answer":
        return max(ENOUGH_ANSWER * whole, min(2 * NATS, WHOLE * whole))
    return max(ENOUGH * whole, min(WEAK_NATS, WHOLE * whole))


def _is_weak(passage: _Passage, covered: float) -> bool:
    """Whether so much of a passage is a coincidence somewhere in a large corpus."""
    whole = float(passage.masked_weights.sum())
    return covered * whole < (1 - 1e-9) * min(NATS, WHOLE * whole)


def _common(spelled: Numbers, weights: Weights, window: Numbers) -> float:
    """The greatest weight of words that both hold in the same order."""
    import numpy as np

    row = np.zeros(len(window) + 1)
    for same, weight in zip(spelled[:, None] == window[None, :], weights, strict=True):
        longer = row.copy()
        np.maximum(row[1:], row[:-1] + weight * same, out=longer[1:])
        row = np.maximum.accumulate(longer)
    return float(row[-1])


def _run(passage: _Passage, spelled: Numbers, shifts: Places) -> tuple[int, int, float] | None:
    """`RUN` words in a row of a free passage, with enough information."""
    import numpy as np

    if len(shifts) < _RUN_LEADS:
        return None
    ((start, count),) = Counter(shifts.tolist()).most_common(1)
    if count < _RUN_LEADS:
        return None
    low, high = max(0, start), min(len(spelled), start + len(passage.masked))
    same = np.zeros(high - low + 2, np.bool_)
    same[1:-1] = spelled[low:high] == passage.masked[low - start : high - start]
    edges = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
    begin, end = (int(edge) for edge in edges[np.argmax(edges[:, 1] - edges[:, 0])])
    nats = float(passage.masked_weights[low - start :][begin:end].sum())
    share = nats / float(passage.masked_weights.sum())
    if end - begin < RUN or share < RUN_SHARE or nats < (2 * NATS if passage.part == "answer" else NATS):
        return None
    return low + begin, low + end - 1, share


def _explained(index: Index, passage: _Passage, read: Words, start: int, end: int) -> bool:
    """Whether the words around a find are as near to some train text as to what was found."""
    import numpy as np

    if not index.train:
        return False
    stretch = Words(read.spelled[start:end], read.is_number[start:end], read.starts[start:end])
    threes = grams(masked(stretch).spelled)
    places, texts, _ = index.train_table.lookup(threes)
    if not len(texts):
        return False
    # How many different grams of the stretch each text holds: those that hold most are its neighbours.
    held = np.unique(np.stack((texts, places)), axis=1)[0]
    neighbours, counts = np.unique(held, return_counts=True)
    nearest = neighbours[np.argsort(-counts, kind="stable")[:_NEIGHBOURS]]
    distance = _distance(passage, read, start, end)
    return any(_distance(index.train[text], read, start, end) <= distance for text in nearest.tolist())


def _distance(text: _Passage, read: Words, start: int, end: int) -> float:
    """How far the words around a stretch are from a text: nats that one has and the other lacks.

    But for what the words have alone, which is the same for all texts. Numbers that differ weigh alike, so
    that words with numbers of their own are as near to an item as to its train twin.
    """
    length = len(text.spelled)
    slack = 4 + length // 8
    around = read.spelled[max(0, min(start, end - length) - slack) : max(end, start + length) + slack]
    return float(text.masked_weights.sum()) - 2 * _common(text.spelled, text.weights, around)


# --- the report ---------------------------------------------------------------------------------------------


def check_overlap(index: Index, hits: Iterable[Hit], tolerated_items: int, coverage: str) -> CheckReport:
    """The report on test items that were found.

    Args:
        hits: of every document.
        tolerated_items: so many different items may turn up by accident.
        coverage: what was scanned and what was not, in a sentence.
    """
    hits = supported(hits, tolerated_items)
    first: dict[tuple[str, str], Hit] = {}
    places: Counter[tuple[str, str]] = Counter()
    for hit in hits:
        key = (hit.item_id, hit.part)
        places[key] += 1
        if key not in first or hit.covered > first[key].covered:
            first[key] = hit
    items = sorted({item_id for item_id, _ in first})
    covered = (
        f"{coverage}; looked for {len(index.passages)} texts of test items, {index.unscored} were too common"
    )
    if not items:
        return report(CHECK, covered, ())
    strength = Strength.DISQUALIFYING if len(items) > tolerated_items else Strength.NOTE
    evidence = tuple(_evidence(first[key], places[key]) for key in sorted(first)[:_SHOWN])
    questions = sum(part == "question" for _, part in first)
    summary = (
        f"{len(items)} test items in the agent's files: {questions} questions, {len(first) - questions} "
        f"answers ({tolerated_items} items are tolerated); most in {_most(first.values())}"
    )
    return report(CHECK, covered, [Finding(CHECK, strength, summary, evidence)])


def supported(hits: Iterable[Hit], tolerated_items: int) -> list[Hit]:
    """The finds that count: weak ones only in files that hold more items than are tolerated without them."""
    held = list(hits)
    items: dict[str, set[str]] = {}
    for hit in held:
        if not hit.weak:
            items.setdefault(hit.path, set()).add(hit.item_id)
    return [hit for hit in held if not hit.weak or len(items.get(hit.path, ())) > tolerated_items]


def _evidence(hit: Hit, places: int) -> Evidence:
    elsewhere = f", {places} places in all" if places > 1 else ""
    detail = f"the {hit.part}, {hit.covered:.0%} of what its {hit.length} words tell{elsewhere}"
    return Evidence(hit.path, hit.locator, detail, hit.item_id)


def _most(hits: Iterable[Hit]) -> str:
    path, _ = Counter(hit.path for hit in hits).most_common(1)[0]
    return path if len(path) <= 200 else f"{path[:200]}..."
