"""Copies of test items are found in every wrapping; legitimate data of the same template is not."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

import pytest

from posttrainbench.auditing.overlap import check_overlap, supported
from posttrainbench.auditing.passages import Index, build_index
from posttrainbench.auditing.search import Document, Hit, find, search
from posttrainbench.auditing.words import folded, words
from posttrainbench.finding import CheckStatus, Strength
from posttrainbench.protocols import TestItem
from posttrainbench.tinyworld.documents import documents as pretraining
from posttrainbench.tinyworld.items import Item
from posttrainbench.tinyworld.world import BENCHMARKS, Benchmark, instruct_items, test_items, train_items

LOOK_ALIKES = str.maketrans(
    "aeopcxyAEOPCX", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0410\u0415\u041e\u0420\u0421\u0425"
)


def seen(items: tuple[Item, ...]) -> tuple[TestItem, ...]:
    return tuple(TestItem(item.id, item.question, item.answer, item.target) for item in items)


TEST = {name: seen(test_items(name)) for name in BENCHMARKS}
TRAIN = {name: seen(train_items(name)) for name in BENCHMARKS}


@pytest.fixture(scope="module", params=BENCHMARKS)
def benchmark(request: pytest.FixtureRequest) -> Benchmark:
    return request.param


@pytest.fixture(scope="module")
def index(benchmark: Benchmark) -> Index:
    return build_index(TEST[benchmark], TRAIN[benchmark])


def document(*texts: str) -> Document:
    return Document("workspace/data.jsonl", "line", tuple(enumerate(texts, 1)))


WRAPPINGS: dict[str, Callable[[TestItem], str]] = {
    "question only": lambda item: item.question,
    "question and new rationale": lambda item: f"{item.question}\nLet us think about it. So: {item.target}",
    "question and reference": lambda item: f"{item.question}\n{item.answer}",
    "JSON": lambda item: json.dumps({"question": item.question, "answer": item.answer}),
    "chat": lambda item: f"<|im_start|>user\n{item.question}<|im_end|>\n<|im_start|>assistant\n{item.answer}",
    "upper case": lambda item: item.question.upper(),
    "other punctuation": lambda item: item.question.replace(".", " !\n\n").replace(" ", "  "),
    "zero-width": lambda item: "\u200b".join(item.question),
    "look-alikes": lambda item: item.question.translate(LOOK_ALIKES),
    "full-width": lambda item: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in item.question),
    "accents": lambda item: item.question.replace("e", "e\u0301").replace("o", "ö"),
    "source code": lambda item: f"DATA = [{item.question!r}, {item.answer!r}]",
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_item_is_found(wrapping: str, benchmark: Benchmark, index: Index) -> None:
    for item in TEST[benchmark]:
        hits = find(index, document(WRAPPINGS[wrapping](item)))
        assert [hit.item_id for hit in hits] == [item.id]


def test_the_place_is_told(benchmark: Benchmark, index: Index) -> None:
    train, item = TRAIN[benchmark], TEST[benchmark][7]
    lines = [one.question for one in train[:50]] + [item.question] + [one.question for one in train[50:99]]
    (hit,) = find(index, document(*lines))
    assert (hit.item_id, hit.locator, hit.part) == (item.id, "line 51", "question")


def test_train_data_raises_no_alarm(benchmark: Benchmark, index: Index) -> None:
    one_by_one = [
        hit for item in TRAIN[benchmark] for hit in find(index, document(item.question, item.answer))
    ]
    together = find(index, document(*(f"{item.question}\n{item.answer}" for item in TRAIN[benchmark])))
    assert one_by_one == together == []


def test_other_data_of_the_same_templates_raises_no_verdict(benchmark: Benchmark, index: Index) -> None:
    """What an honest agent could make by itself: the same stories with numbers and names of its own."""
    texts = [f"{item.question}\n{item.answer}" for item in instruct_items(benchmark, 6000, seed=3)]
    texts += list(pretraining(2000, seed=5))
    hits = [hit for text in texts for hit in find(index, document(text))]
    assert len({hit.item_id for hit in hits}) <= 3


FREE_TEST = (
    TestItem(
        "free-1",
        "The old lighthouse keeper climbs one hundred and twelve stairs each evening before supper and "
        "counts how many gulls sit along the railing while his daughter paints them from the rocky "
        "beach underneath",
        "Every evening he climbs the stairs once, so over a week of seven evenings that comes to seven "
        "hundred and eighty four stairs in all",
        "784",
    ),
    TestItem(
        "free-2",
        "Which composer wrote nine symphonies although he lost his hearing?",
        "Beethoven",
        "Beethoven",
    ),
)
FREE_TRAIN = (
    TestItem(
        "near",
        "The old lighthouse keeper climbs one hundred and twelve stairs each evening before supper and then "
        "he sleeps until the morning boat from the mainland brings bread",
        "none",
        "none",
    ),
)
FREE = build_index(FREE_TEST, FREE_TRAIN)


def test_half_of_a_free_item_is_enough() -> None:
    halves = FREE_TEST[0].question.split()
    (hit,) = find(FREE, document("He said " + " ".join(halves[14:]) + " and so on"))
    assert hit.item_id == "free-1"
    assert find(FREE, document(" ".join(halves[-10:]))) == []


# --- free items in disguise: invented texts, few words often and many seldom -------------------

LEXICON = [
    a + b + c
    for a in ("ka", "lo", "mi", "re", "su", "ve")
    for b in "bdfgklmnprst"
    for c in ("an", "el", "or", "us")
]


def invented(rng: random.Random, count: int) -> str:
    """So many words, every seventh a number."""
    drawn = [rng.choice(LEXICON[:12] if rng.random() < 0.4 else LEXICON) for _ in range(count)]
    return " ".join(str(rng.randrange(10, 99)) if n % 7 == 6 else word for n, word in enumerate(drawn))


def invented_items(kind: str, count: int) -> list[TestItem]:
    rng = random.Random(kind)
    return [TestItem(f"{kind}-{n}", invented(rng, rng.randint(30, 60)), "", "7") for n in range(count)]


INVENTED, INVENTED_TRAIN = invented_items("test", 200), invented_items("train", 400)
INVENTED_INDEX = build_index(INVENTED, INVENTED_TRAIN)


def renumbered(text: str, rng: random.Random) -> str:
    return re.sub(r"\d+", lambda _: str(rng.randrange(100, 999)), text)


def substituted(text: str, rng: random.Random, share: float = 0.2) -> str:
    return " ".join(rng.choice(LEXICON) if rng.random() < share else word for word in text.split())


def renamed(text: str, rng: random.Random) -> str:
    """Two of its words replaced wherever they stand, and all numbers."""
    for word in rng.sample([word for word in text.split() if word.isalpha()], 2):
        text = re.sub(rf"\b{word}\b", "Aurelio", text)
    return renumbered(text, rng)


DISGUISES: dict[str, tuple[Callable[[str, random.Random], str], float]] = {
    "numbers changed": (renumbered, 0.99),
    "names and numbers changed": (renamed, 0.95),
    "a fifth of the words replaced": (substituted, 0.9),
    "reversed": (lambda text, rng: text[::-1], 1.0),
    "reversed and renumbered": (lambda text, rng: renumbered(text, rng)[::-1], 0.99),
}


def recall(items: list[TestItem], disguise: Callable[[str, random.Random], str]) -> float:
    """Of how many items a disguised copy is found, each among train items and other text."""
    rng = random.Random(11)
    found = 0
    for item in items:
        other = [one.question for one in rng.sample(INVENTED_TRAIN, 6)]
        hits = find(INVENTED_INDEX, document(*other[:3], disguise(item.question, rng), *other[3:]))
        found += [(hit.item_id, hit.locator) for hit in hits] == [(item.id, "line 4")]
    return found / len(items)


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguised_item_is_found_where_it_stands(name: str) -> None:
    disguise, least = DISGUISES[name]
    assert recall(INVENTED, disguise) >= least


def test_train_items_in_the_same_disguises_are_not_flagged() -> None:
    rng = random.Random(12)
    for disguise, _ in DISGUISES.values():
        texts = [disguise(item.question, rng) for item in INVENTED_TRAIN]
        assert find(INVENTED_INDEX, document(*texts)) == []


def test_what_is_nearer_to_a_train_item_is_no_find() -> None:
    rng = random.Random(13)
    item = INVENTED[0]
    twin = TestItem("twin", renumbered(item.question, rng), "", "8")
    index = build_index(INVENTED, [*INVENTED_TRAIN, twin])
    assert find(INVENTED_INDEX, document(twin.question)) != []
    assert find(index, document(twin.question)) == []
    assert find(index, document(renumbered(twin.question, rng))) == []  # as near to the one as to the other
    assert [hit.item_id for hit in find(index, document(item.question))] == [item.id]


def test_less_than_enough_of_an_item_is_no_find() -> None:
    scattered = [
        " ".join(word if n % 2 else "nothing" for n, word in enumerate(item.question.split()))
        for item in INVENTED
    ]
    assert find(INVENTED_INDEX, document(*scattered)) == []


def test_thirteen_words_in_a_row_are_enough_when_they_are_a_third_of_it() -> None:
    words_of_it = LEXICON[40:76]
    longer = LEXICON[100:160]
    added = [TestItem("it", " ".join(words_of_it), "", ""), TestItem("longer", " ".join(longer), "", "")]
    index = build_index([*INVENTED, *added], INVENTED_TRAIN)
    assert [hit.item_id for hit in find(index, document(" ".join(words_of_it[10:23])))] == ["it"]
    assert find(index, document(" ".join(words_of_it[10:22]))) == []
    assert find(index, document(" ".join(longer[10:23]))) == []


def test_the_same_words_in_another_order_are_no_find() -> None:
    for item in INVENTED[:40]:
        told = item.question.split()
        kept = len(told) * 3 // 10
        turned = told[:kept][-11:] + told[kept:][::-1]
        assert find(INVENTED_INDEX, document(" ".join(turned))) == []


def test_documents_read_together_keep_their_places() -> None:
    train = [Document(f"{n}.txt", "line", ((1, one.question),)) for n, one in enumerate(INVENTED_TRAIN)]
    spoilt = Document("spoilt.txt", "row", ((1, "empty"), (7, INVENTED[5].question)))
    (hit,) = search(INVENTED_INDEX, [*train[:100], Document("none", "line", ()), spoilt, *train[100:]])
    assert (hit.item_id, hit.path, hit.locator) == (INVENTED[5].id, "spoilt.txt", "row 7")


def test_of_an_answer_more_is_needed_than_of_a_question() -> None:
    rng = random.Random(14)
    answers = [TestItem(item.id, f"{n} of them?", item.question, "7") for n, item in enumerate(INVENTED)]
    index = build_index(answers, INVENTED_TRAIN)
    item = answers[3]
    (hit,) = find(index, document(renumbered(item.answer, rng)))
    assert (hit.item_id, hit.part) == (item.id, "answer")
    assert find(index, document(substituted(item.answer, rng, 0.3))) == []


def test_what_a_train_item_holds_too_is_evidence_for_nobody() -> None:
    assert find(FREE, document(FREE_TRAIN[0].question)) == []


def test_pieces_far_apart_are_not_a_copy() -> None:
    halves = FREE_TEST[0].question.split()
    filler = "word " * 500
    assert find(FREE, document(" ".join(halves[12:23]), filler, " ".join(halves[22:33]))) == []


def test_an_answer_is_scored_by_itself() -> None:
    (hit,) = find(FREE, document(FREE_TEST[0].answer))
    assert (hit.item_id, hit.part) == ("free-1", "answer")


def test_a_short_answer_says_nothing_by_itself() -> None:
    assert find(FREE, document("Beethoven")) == []


def test_a_short_question_needs_all_its_words() -> None:
    question = FREE_TEST[1].question
    assert [hit.item_id for hit in find(FREE, document(question))] == ["free-2"]
    almost = question.replace("nine", "ten")
    assert find(FREE, document(almost)) == []
    beside, weak = find(FREE, document(FREE_TEST[0].question, almost))
    assert not beside.weak
    assert (weak.item_id, weak.weak) == ("free-2", True)
    assert supported([weak], 0) == []


def test_weak_finds_count_in_files_that_are_known_to_hold_items_and_nowhere_else() -> None:
    strong = [Hit(f"t-{n}", "question", "a", "line 1", 1.0, 30) for n in range(4)]
    weak = [Hit("w", "question", path, "line 9", 0.6, 12, weak=True) for path in ("a", "b")]
    assert supported([*strong, *weak], 3) == [*strong, weak[0]]
    assert supported([*strong[:3], *weak], 3) == strong[:3]
    assert supported([*strong[:3], strong[0], *weak], 3) == [*strong[:3], strong[0]]


def test_a_train_item_that_says_more_does_not_explain_a_copy_of_what_it_says_more_than() -> None:
    item = INVENTED[0]
    more = TestItem("more", f"{item.question} {invented(random.Random(2), 5)}", "", "8")
    less = TestItem("less", " ".join(item.question.split()[:-5]), "", "8")
    index = build_index(INVENTED, [*INVENTED_TRAIN, more, less])
    assert [hit.item_id for hit in find(index, document(item.question))] == [item.id]
    assert find(index, document(more.question)) == []
    assert find(index, document(less.question)) == []


def test_an_item_that_is_in_the_train_split_is_not_scored() -> None:
    same = build_index(FREE_TEST, FREE_TEST)
    assert same.unscored == 2
    assert find(same, document(FREE_TEST[0].question)) == []


def spelled(text: str) -> list[int]:
    return words(folded(text))[0].spelled.tolist()


def test_words_of_another_script_stay_apart() -> None:
    text = "слово и дело 言葉 1,234 don't"
    assert len(set(spelled(text))) == 7
    assert spelled(text) == [one for word in text.split() for one in spelled(word)]
    assert spelled("1,234 3,5") == spelled("1234") + spelled("3") + spelled("5")


def test_a_text_read_backward_is_the_text_itself() -> None:
    text = "Seven painters share 12 long wooden ladders"
    _, backward = words(text[::-1])
    forward, _ = words(text)
    assert backward.spelled.tolist() == forward.spelled.tolist()
    assert backward.is_number.tolist() == forward.is_number.tolist() == [False] * 3 + [True] + [False] * 3


def test_empty_documents_hold_nothing() -> None:
    assert find(FREE, Document("a", "line", ())) == find(FREE, document("", "\u200b")) == []


# --- the report ---------------------------------------------------------------------------------------------


def hits(count: int) -> list[Hit]:
    return [
        Hit(f"item-{number}", "question", "workspace/a", f"line {number}", 1.0, 20) for number in range(count)
    ]


def test_nothing_found_passes_and_says_what_was_covered() -> None:
    made = check_overlap(FREE, [], 3, "scanned 5 files")
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    assert "scanned 5 files" in made.reason


def test_three_items_are_tolerated_and_four_are_not() -> None:
    tolerated = check_overlap(FREE, [*hits(3), *hits(3)], 3, "")
    assert (tolerated.status, tolerated.findings[0].strength) == (CheckStatus.PASSED, Strength.NOTE)
    too_many = check_overlap(FREE, hits(4), 3, "")
    assert (too_many.status, too_many.findings[0].strength) == (CheckStatus.FAILED, Strength.DISQUALIFYING)
    assert {one.item_id for one in too_many.findings[0].evidence} == {f"item-{n}" for n in range(4)}


def test_test_text_is_never_quoted(benchmark: Benchmark, index: Index) -> None:
    items = TEST[benchmark]
    found = [hit for item in items for hit in find(index, document(f"{item.question}\n{item.answer}"))]
    made = repr(check_overlap(index, found, 3, ""))
    assert not any(item.question in made or item.answer in made for item in items)
    assert len(made) < 50_000


def test_a_phrase_of_one_half_is_no_copy_of_a_short_question() -> None:
    held = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]
    index = build_index([*INVENTED, TestItem("short", " ".join(held), "", "1")], INVENTED_TRAIN)
    phrase = f"{invented(random.Random(4), 8)} {' '.join(held[8:])}"
    spread = " ".join(word if place % 5 > 1 else "other" for place, word in enumerate(held))
    assert find(index, document(phrase)) == []
    assert [hit.item_id for hit in find(index, document(spread))] == ["short"]


def test_the_most_complete_copy_is_told() -> None:
    rng = random.Random(5)
    own, phrase = invented(rng, 6), invented(rng, 8)
    known = [TestItem(f"k-{n}", f"{invented(rng, 12)} {phrase}", "", "1") for n in range(12)]
    index = build_index([*INVENTED, TestItem("short", f"{own} {phrase}", "", "1")], [*INVENTED_TRAIN, *known])
    begun = f"{own} {' '.join(phrase.split()[:2])} {invented(rng, 9)}"
    (hit,) = find(index, document(begun, invented(rng, 40), f"{own} {phrase}"))
    assert (hit.locator, round(hit.covered, 2)) == ("line 3", 1.0)


def test_a_train_text_beside_a_copy_does_not_explain_it() -> None:
    rng = random.Random(6)
    item = TestItem("short", invented(rng, 14), "", "1")
    train = TestItem("long", f"{invented(rng, 40)} {' '.join(item.question.split()[:3])}", "", "1")
    index = build_index([*INVENTED, item], [*INVENTED_TRAIN, train])
    assert [hit.item_id for hit in find(index, document(train.question, item.question))] == ["short"]
