"""Which test items lie in the texts that an agent wrote or downloaded; question and answer scored separately.

How: texts become words (Unicode folded, look-alikes and invisible characters undone, case, punctuation and
blanks gone). An n-gram that the train split holds too is evidence for nobody. What an item needs to be found
depends on the item:

- *free* (most of its wording is its own, as in GSM8K): a run of 13 words, or half of its own 8-grams within a
  stretch of about its length;
- *templated* (most of its wording is shared with other items) or short: all of it, word for word. There,
  numbers and names are what differs, and anything less would flag honest data of the same template.

Answers of fewer than 13 words say nothing by themselves and are not scored.

Covered: question only, question with any answer, in any wrapping that keeps the words in order; look-alike
and zero-width characters. Not covered: encoded, reversed or translated text, and templated items with a word
changed. Pure; the index is built once, documents stream through it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from posttrainbench.auditing.verdict import report
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength
from posttrainbench.protocols import TestItem

CHECK = "overlap"
GRAM = 8
RUN = 13  # words in a row that are enough for a free item
HALF = 0.5  # share of a free item's own n-grams that is enough
SHORT = 16  # below this many words, all of an item is needed
MIN_QUESTION = 6  # words; shorter questions are not scored
MIN_ANSWER = 13
# Share of an item's 4-grams, numbers masked, that other items hold too: above it the item counts as
# templated, and when half of the items do, all. Medians measured: 0.22 on GSM8K, 0.84 and 0.86 on the tiny
# benchmarks.
TEMPLATED = 0.5
_TEMPLATE_GRAM = 4
_SHOWN = 50

Gram = tuple[str, ...]


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
    covered: float  # share of the item's own n-grams
    length: int  # words


# --- words --------------------------------------------------------------------------------------------------

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+")
_ESCAPE = re.compile(r"\\+[nrt]")  # a line break in the source code of a string
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
# Cyrillic, Greek, Armenian and phonetic letters that look like Latin ones, in lower case.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u051b\u051d\u0501\u043a\u043c"
    "\u0442\u043d\u0432\u03b1\u03b5\u03bf\u03c1\u03c5\u03bd\u03b9\u03ba\u03c4\u03c7\u0131\u0261\u029c"
    "\u1d0f\u1d1c\u0433\u03b3\u03b2\u03b7\u0475\u04cf\u0585\u0578\u057d\u0570\u0581\u0566\u03bc",
    "aeopcyxijshqwdkmthbaeopuviktxighourybnvlonuhgqu",
)
_INVISIBLE = frozenset({"Cf", "Mn", "Me"})


def words(text: str) -> list[str]:
    """A text's words, normalised."""
    if "\\" in text:
        text = _ESCAPE.sub(" ", text)
    if "," in text:
        text = _THOUSANDS.sub("", text)
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    """Compatibility forms, case, accents, invisible characters and look-alikes undone."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    if not text.isascii():
        text = "".join(character for character in text if unicodedata.category(character) not in _INVISIBLE)
    return text.translate(_LOOK_ALIKES)


def grams(tokens: Sequence[str], size: int) -> Iterator[Gram]:
    """Every run of `size` words, in order."""
    return zip(*(tokens[start:] for start in range(size)), strict=False)


# --- the index ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Passage:
    """A question or an answer to look for. `own` counts the n-grams that the train split does not hold."""

    item_id: str
    part: str
    tokens: tuple[str, ...]
    whole: bool  # nothing less than all of it counts
    own: int


@dataclass(frozen=True, slots=True)
class Index:
    """What is looked for: passages, and where each of their n-grams stands in them, by length."""

    passages: tuple[_Passage, ...]
    postings: Mapping[int, Mapping[Gram, tuple[tuple[int, int], ...]]]  # gram -> (passage, offset)
    unscored: int  # questions too short, or word for word in the train split


def build_index(test: Sequence[TestItem], train: Sequence[TestItem]) -> Index:
    """The index over a benchmark's test items, beside the train items that anybody may hold."""
    train_texts = [tuple(words(text)) for item in train for text in (item.question, item.answer)]
    known = {gram for tokens in train_texts for gram in grams(tokens, GRAM)}
    texts = [("question", item.id, tuple(words(item.question))) for item in test]
    texts += [("answer", item.id, tuple(words(item.answer))) for item in test]
    templated = _templated([tokens for _, _, tokens in texts[: len(test)]], train_texts)
    passages: list[_Passage] = []
    postings: dict[int, dict[Gram, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    unscored = 0
    for (part, item_id, tokens), of_template in zip(texts, templated * 2, strict=True):
        whole = of_template or len(tokens) < SHORT
        probes = _probes(tokens, part, known, whole)
        if not probes:
            unscored += part == "question"
            continue
        for gram, offset in probes:
            postings[len(gram)][gram].append((len(passages), offset))
        passages.append(_Passage(item_id, part, tokens, whole, len(probes)))
    frozen = {size: {g: tuple(where) for g, where in table.items()} for size, table in postings.items()}
    return Index(tuple(passages), frozen, unscored)


def _templated(questions: Sequence[Sequence[str]], train_texts: Sequence[Sequence[str]]) -> list[bool]:
    """For each test question, whether it is one of many made from one template."""
    known = {gram for tokens in train_texts for gram in _template_grams(tokens)}
    holders = Counter(gram for tokens in questions for gram in _template_grams(tokens))
    templated = []
    for tokens in questions:
        own = _template_grams(tokens)
        elsewhere = sum(gram in known or holders[gram] > 1 for gram in own)
        templated.append(elsewhere > TEMPLATED * len(own))
    return [True] * len(templated) if sum(templated) * 2 > len(templated) else templated


def _template_grams(tokens: Sequence[str]) -> set[Gram]:
    masked = ["0" if token[0].isdigit() else token for token in tokens]
    return set(grams(masked, _TEMPLATE_GRAM))


def _probes(tokens: Sequence[str], part: str, known: set[Gram], whole: bool) -> list[tuple[Gram, int]]:
    """The n-grams that lead to a passage, with their offsets; none when it is not scored."""
    if len(tokens) < (MIN_QUESTION if part == "question" else MIN_ANSWER):
        return []
    size = min(GRAM, len(tokens))
    own = [(gram, offset) for offset, gram in enumerate(grams(tokens, size)) if gram not in known]
    # A templated passage is compared word for word anyway: one way to find it is enough.
    return own[len(own) // 2 :][:1] if whole else own


# --- the search ---------------------------------------------------------------------------------------------


def find(index: Index, document: Document) -> list[Hit]:
    """The items that a document holds."""
    counts = []
    tokens: list[str] = []
    for number, text in document.pieces:
        tokens += words(text)
        counts.append((len(tokens), number))
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for size, table in index.postings.items():
        for position, gram in enumerate(grams(tokens, size)):
            if gram in table:
                for passage, offset in table[gram]:
                    places[passage].append((position, offset))
    hits = []
    for number, found in places.items():
        wanted = index.passages[number]
        match = _match_whole(wanted, tokens, found) if wanted.whole else _match_parts(wanted, found)
        if match:
            position, covered = match
            line = next(at for end, at in counts if end > position)
            locator = f"{document.unit} {line}"
            hits.append(Hit(wanted.item_id, wanted.part, document.path, locator, covered, len(wanted.tokens)))
    return hits


def _match_whole(
    passage: _Passage, tokens: Sequence[str], found: Sequence[tuple[int, int]]
) -> tuple[int, float] | None:
    length = len(passage.tokens)
    for position, offset in found:
        start = position - offset
        if start >= 0 and tuple(tokens[start : start + length]) == passage.tokens:
            return start, 1.0
    return None


def _match_parts(passage: _Passage, found: Sequence[tuple[int, int]]) -> tuple[int, float] | None:
    """Where a free passage's n-grams stand thick enough, and the share of them that do."""
    width = 2 * len(passage.tokens) + GRAM
    begin = 0
    inside: Counter[int] = Counter()
    run = 0
    before: tuple[int, int] | None = None
    best: tuple[int, float] | None = None
    for position, offset in found:
        inside[offset] += 1
        while position - found[begin][0] > width:
            left = found[begin][1]
            inside[left] -= 1
            if not inside[left]:
                del inside[left]
            begin += 1
        run = run + 1 if before == (position - 1, offset - 1) else 1
        before = (position, offset)
        covered = len(inside) / passage.own
        enough = covered >= HALF or run + GRAM - 1 >= RUN
        if enough and (best is None or covered > best[1]):
            best = found[begin][0], covered
    return best


# --- the report ---------------------------------------------------------------------------------------------


def check_overlap(index: Index, hits: Iterable[Hit], tolerated_items: int, coverage: str) -> CheckReport:
    """The report on test items that were found.

    Args:
        hits: of every document.
        tolerated_items: so many different items may turn up by accident.
        coverage: what was scanned and what was not, in a sentence.
    """
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


def _evidence(hit: Hit, places: int) -> Evidence:
    elsewhere = f", {places} places in all" if places > 1 else ""
    detail = f"the {hit.part}, {hit.covered:.0%} of its {hit.length} words' own n-grams{elsewhere}"
    return Evidence(hit.path, hit.locator, detail, hit.item_id)


def _most(hits: Iterable[Hit]) -> str:
    path, _ = Counter(hit.path for hit in hits).most_common(1)[0]
    return path if len(path) <= 200 else f"{path[:200]}..."
