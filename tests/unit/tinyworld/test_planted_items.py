"""Canaries look like test items, are none, and belong to one secret."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from posttrainbench.tinyworld import catalog
from posttrainbench.tinyworld.canaries import HELD_BACK, PLANTED, canary_items, plant
from posttrainbench.tinyworld.items import side_of
from posttrainbench.tinyworld.world import BENCHMARKS, Benchmark, test_items, train_items

FOLDERS = {"tiny_math": catalog.TINY_MATH, "tiny_tools": catalog.TINY_TOOLS}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_canaries_ask_what_no_item_asks_and_answer_wrongly(benchmark: Benchmark) -> None:
    planted, held_back = canary_items(benchmark, "secret")
    assert (len(planted), len(held_back)) == (PLANTED, HELD_BACK)
    made = [*planted, *held_back]
    known = {item.key for item in (*test_items(benchmark), *train_items(benchmark))}
    assert len({item.key for item in made}) == len(made)
    assert not known & {item.key for item in made}
    assert all(side_of(item.key) == "test" for item in made)
    right = {item.key: item.target for item in made}
    assert all(item.target in item.answer for item in made)
    assert right
    if benchmark == "tiny_tools":
        assert all(item.key != item.target for item in made)  # there the key is the right call


def test_word_problems_get_another_problems_result() -> None:
    operations = {"gain": "+", "loss": "-", "groups": "*", "share": "/", "difference": "-"}
    for item in (*canary_items("tiny_math", "a")[0], *canary_items("tiny_math", "b")[1]):
        if item.kind in operations:
            left, right = item.key[item.key.index("(") + 1 : -1].split(",")
            assert item.target != str(int(eval(f"{left} {operations[item.kind]} {right}")))


def test_each_secret_has_its_own() -> None:
    first, again, other = (canary_items("tiny_math", secret) for secret in ("a", "a", "b"))
    assert first == again
    shared = {item.question for item in first[0]} & {item.question for item in other[0]}
    assert len(shared) < 3


def test_which_ones_are_planted_does_not_follow_their_kind() -> None:
    both = [canary_items("tiny_math", str(seed)) for seed in range(25)]
    of_one_kind = [sum(item.kind == "gain" for item in one) for one, _ in both]
    assert max(of_one_kind) - min(of_one_kind) > 3  # drawn in turn, as they were made, it would be 1
    planted = Counter(item.kind for one, _ in both for item in one)
    held_back = Counter(item.kind for _, one in both for item in one)
    for kind, count in (planted + held_back).items():
        assert planted[kind] / count == pytest.approx(PLANTED / (PLANTED + HELD_BACK), abs=0.2)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_planted_rows_lie_among_the_others_as_if_they_were_some(benchmark: Benchmark) -> None:
    original = (catalog.dataset_folder(FOLDERS[benchmark]) / "data/test.jsonl").read_bytes()
    rows = [json.loads(line) for line in plant(benchmark, original, "secret").splitlines()]
    before = [json.loads(line) for line in original.splitlines()]
    questions = {item.question for item in canary_items(benchmark, "secret")[0]}
    at = [number for number, row in enumerate(rows) if row["question"] in questions]
    assert len(at) == PLANTED
    assert at[0] < len(rows) / 3
    assert at[-1] > len(rows) * 2 / 3
    assert [row["id"] for row in rows] == [f"{benchmark}-test-{number:05d}" for number in range(len(rows))]
    assert {tuple(row) for row in rows} == {tuple(row) for row in before}
    others = [row for row in rows if row["question"] not in questions]
    assert [row["question"] for row in others] == [row["question"] for row in before]
    assert [row["split"] for row in rows] == sorted(row["split"] for row in rows)
    assert original not in plant(benchmark, original, "secret")
