"""Items told in other words are known by their numbers; what chance, habit or train items explain is not."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from posttrainbench.auditing.retold import (
    FEWEST,
    Tallies,
    build_runs,
    coincidence,
    covered,
    numbers_in,
    retold_findings,
    tallied,
)
from posttrainbench.auditing.search import Document
from posttrainbench.finding import Finding, Strength
from posttrainbench.protocols import TestItem

RNG = random.Random(11)
Problem = tuple[int, int, int]


def problems(count: int) -> list[Problem]:
    return [(RNG.randrange(20, 300), RNG.randrange(3, 40), RNG.randrange(2, 90)) for _ in range(count)]


def item(name: str, problem: Problem) -> TestItem:
    a, b, c = problem
    question = f"A cooper stacks {a} staves, burns {b} of them and borrows {c} more. How many has he?"
    return TestItem(name, question, f"{a} - {b} + {c} = {a - b + c}", str(a - b + c))


def german(problem: Problem) -> str:
    a, b, c = problem
    return f"Von {a} Dauben gehen {b} ab, dazu kommen {c}. Wie viele sind es?\nEs sind {a - b + c}."


TEST_PROBLEMS, TRAIN_PROBLEMS, OTHERS = problems(60), problems(200), problems(3000)
RUNS = build_runs(
    [item(f"t-{n}", one) for n, one in enumerate(TEST_PROBLEMS)],
    [item(f"r-{n}", one) for n, one in enumerate(TRAIN_PROBLEMS)],
)


def rows(path: str, texts: Sequence[str]) -> Document:
    return Document(path, "line", tuple(enumerate(texts, 1)))


def findings(*documents: Document, copied: Sequence[tuple[str, str]] = ()) -> list[Finding]:
    tallies = Tallies()
    assert list(tallied(RUNS, documents, tallies, ())) == list(documents)
    return retold_findings("overlap", RUNS, tallies, len(documents), copied)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12 of 7", [12, 7]),
        ("1,000 and 1.000 and 12,345,678", [1000, 1000, 12345678]),
        ("$3.50, then 4.0 or 007%", [3, 50, 4, 7]),
        ("0 and 00", []),
        ("a2b34", [2, 34]),
        ("1, 2,3", [1, 2, 3]),
        ("9" * 40, [10**15]),
        ("", []),
    ],
)
def test_numbers_are_read_however_they_are_written(text: str, numbers: list[int]) -> None:
    assert numbers_in(text.encode())[0].tolist() == numbers


def test_a_file_of_translated_items_disqualifies_by_item_and_line() -> None:
    documents = rows("data/mine.jsonl", [german(one) for one in TEST_PROBLEMS[:20]])
    (finding,) = findings(documents)
    assert finding.strength is Strength.DISQUALIFYING
    assert "20 test items in other words: data/mine.jsonl" in finding.summary
    first = finding.evidence[0]
    assert (first.source, first.locator, first.item_id) == ("data/mine.jsonl", "line 1", "t-0")
    assert len(finding.evidence) == 20


def test_the_digits_of_other_scripts_are_digits() -> None:
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    texts = [german(one).translate(arabic) for one in TEST_PROBLEMS[:20]]
    (finding,) = findings(rows("data/mine.jsonl", texts))
    assert finding.evidence[3].locator == "line 4"


def test_items_are_found_among_ten_times_as_many_others() -> None:
    texts = [german(one) for one in (*TEST_PROBLEMS, *OTHERS[:600])]
    random.Random(2).shuffle(texts)
    (finding,) = findings(rows("data/mine.jsonl", texts))
    assert "test items in other words: data/mine.jsonl" in finding.summary


def test_items_in_a_file_each_are_found_together() -> None:
    documents = [rows(f"data/{n}.txt", [german(one)]) for n, one in enumerate(TEST_PROBLEMS)]
    (finding,) = findings(*documents)
    assert "60 test items in other words: all that was read" in finding.summary
    assert finding.evidence[1].source == "data/1.txt"


def test_too_few_items_are_a_coincidence() -> None:
    assert not findings(rows("a", [german(one) for one in TEST_PROBLEMS[: FEWEST - 1]]))


@pytest.mark.parametrize(
    "texts",
    [
        [german(one) for one in OTHERS],
        [german(one) for one in TRAIN_PROBLEMS],
        [f"What is {a} plus {b}? {a + b}" for a in range(1, 300, 2) for b in range(1, 90)],
        [f"epoch {n}: loss 0.{7000 - n}, {n + 1} of 9000, took {n % 7}.{n % 89} s" for n in range(9000)],
        [f"{n},{n + 1},{n + 2},{n % 40},{n % 90}" for n in range(9000)],
    ],
    ids=["own numbers", "train items", "all pairs", "a log", "a table"],
)
def test_honest_files_are_not_flagged(texts: list[str]) -> None:
    assert not findings(rows("data/honest.jsonl", texts))


def test_what_train_items_have_too_is_not_looked_for() -> None:
    test = [item(f"t-{n}", one) for n, one in enumerate(TEST_PROBLEMS)]
    runs = build_runs(test, test[:50])
    assert runs.items == tuple(one.id for one in test[50:])
    assert "10 of 60 items have numbers of their own, looked for them" in covered(runs)


def test_a_benchmark_without_numbers_is_not_said_to_be_covered() -> None:
    runs = build_runs([TestItem(f"t-{n}", f"Write a poem on {n} bees.", "", "") for n in range(90)], ())
    tallies = Tallies()
    list(tallied(runs, [rows("a", [german(one) for one in OTHERS[:90]])], tallies, ()))
    assert not retold_findings("overlap", runs, tallies, 1, ())
    assert "0 of 90 items have numbers of their own, too few to look for them" in covered(runs)


def test_what_the_words_have_found_is_not_counted_again() -> None:
    document = rows("a", [german(one) for one in TEST_PROBLEMS[:20]])
    assert not findings(document, copied=[("a", f"t-{n}") for n in range(13)])
    (finding,) = findings(document, copied=[("a", f"t-{n}") for n in range(5)])
    assert "15 test items" in finding.summary


def test_a_repeated_telling_explains_nothing() -> None:
    texts = [german(one) for one in TEST_PROBLEMS[:12]]
    tallies = Tallies()
    list(tallied(RUNS, [rows("a", texts * 5)], tallies, ()))
    told = coincidence(RUNS, tallies.everywhere)
    assert (told.found, told.length) == (12, 2)
    assert findings(rows("a", texts * 5))


def test_files_without_finds_are_forgotten() -> None:
    tallies = Tallies()
    documents = [rows(f"{n}", [german(OTHERS[n])]) for n in range(3000)]
    list(tallied(RUNS, documents, tallies, ()))
    assert tallies.files == {}
    assert tallies.everywhere.numbers == 12_000


def test_what_chance_gives_is_not_flagged_however_many_items_it_is() -> None:
    rng = random.Random(4)

    def small() -> str:
        return f"{rng.randrange(2, 40)} bees visit {rng.randrange(2, 40)} lilies."

    runs = build_runs([TestItem(f"t-{n}", small(), "", "") for n in range(60)], ())
    tallies = Tallies()
    list(tallied(runs, [rows("a", [small() for _ in range(3000)])], tallies, ()))
    assert len(tallies.everywhere.items(runs)) > 40
    assert not retold_findings("overlap", runs, tallies, 1, ())
