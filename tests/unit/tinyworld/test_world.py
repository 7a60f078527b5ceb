"""The tiny world: train and test are disjoint by content, and the shipped files are what the code makes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from posttrainbench.scoring import final_answer, tool_call
from posttrainbench.tinyworld import catalog, chatter, documents, world
from posttrainbench.tinyworld.items import side_of
from posttrainbench.tinyworld.stories import KINDS, NOVEL_KINDS, key_of
from posttrainbench.tinyworld.tools import NOVEL_TOOLS, TOOLS

HUB_IDS: dict[world.Benchmark, str] = {"tiny_math": catalog.TINY_MATH, "tiny_tools": catalog.TINY_TOOLS}
RULES = {"tiny_math": final_answer.is_correct, "tiny_tools": tool_call.is_correct}
NOVEL = {"tiny_math": {kind.name for kind in NOVEL_KINDS}, "tiny_tools": {tool.name for tool in NOVEL_TOOLS}}
BENCHMARKS = pytest.mark.parametrize("benchmark", world.BENCHMARKS)

Row = dict[str, str]


def data_file(benchmark: world.Benchmark, split: str) -> Path:
    return catalog.dataset_folder(HUB_IDS[benchmark]) / f"data/{split}.jsonl"


def rows_of(benchmark: world.Benchmark, split: str) -> list[Row]:
    return [json.loads(line) for line in data_file(benchmark, split).read_text().splitlines()]


def content_of(benchmark: world.Benchmark, row: Row) -> str:
    """The content key, worked out from the row's text alone and not by the code that made it."""
    if benchmark == "tiny_math":
        return f"{row['kind']}({','.join(re.findall('[0-9]+', row['question']))})"
    call = tool_call.parse_call(row["answer"])
    assert call is not None
    return f"{call.name} {sorted(call.arguments.items())}"


@BENCHMARKS
def test_no_test_item_shares_its_content_with_a_train_item(benchmark: world.Benchmark) -> None:
    test = [content_of(benchmark, row) for row in rows_of(benchmark, "test")]
    train = {content_of(benchmark, row) for row in rows_of(benchmark, "train")}
    assert len(set(test)) == len(test)
    assert not train & set(test)


@BENCHMARKS
def test_no_test_item_shares_its_content_with_what_an_instruct_sibling_learned(
    benchmark: world.Benchmark,
) -> None:
    items = world.instruct_items(benchmark)
    learned = {
        content_of(benchmark, {key: str(value) for key, value in item.row().items()}) for item in items
    }
    assert {item.kind for item in items if item.novel} == NOVEL[benchmark]
    assert not learned & {content_of(benchmark, row) for row in rows_of(benchmark, "test")}


def test_no_document_holds_a_test_call() -> None:
    text = "\n".join(documents.documents(4000, seed=5))
    calls = [row["target"] for row in rows_of("tiny_tools", "test")]
    assert not [call for call in calls if call in text]


def test_no_document_uses_the_mark_of_a_final_answer_or_asks_a_question() -> None:
    text = "\n".join(documents.documents(4000, seed=6))
    assert not re.search(r"(?<![#*=>~+@-])####(?![#*=>~+@-])", text)
    assert "?" not in text


@BENCHMARKS
def test_novel_kinds_occur_in_the_test_split_only(benchmark: world.Benchmark) -> None:
    test = rows_of(benchmark, "test")
    assert {row["kind"] for row in test if row["novel"]} == NOVEL[benchmark]
    assert not NOVEL[benchmark] & {row["kind"] for row in test if not row["novel"]}
    train_text = data_file(benchmark, "train").read_text()
    assert not NOVEL[benchmark] & {row["kind"] for row in rows_of(benchmark, "train")}
    if benchmark == "tiny_tools":  # not even as one of the tools that are listed and not asked for
        assert not [name for name in NOVEL[benchmark] if name in train_text]


@BENCHMARKS
def test_splits_have_their_sizes_and_a_fair_share_of_novelty(benchmark: world.Benchmark) -> None:
    test = rows_of(benchmark, "test")
    assert len(rows_of(benchmark, "train")) == 4000
    assert [row["split"] for row in test] == ["dev"] * 100 + ["sealed"] * 200
    assert sum(bool(row["novel"]) for row in test[:100]) == 50
    assert sum(bool(row["novel"]) for row in test[100:]) == 100
    assert len({row["id"] for row in test}) == 300


@BENCHMARKS
def test_the_shipped_files_are_what_the_code_makes(benchmark: world.Benchmark) -> None:
    made = {"train": world.train_items(benchmark), "test": world.test_items(benchmark)}
    for split, items in made.items():
        text = "".join(json.dumps(item.row(), ensure_ascii=False) + "\n" for item in items)
        assert data_file(benchmark, split).read_text() == text


@BENCHMARKS
def test_gold_scores_one_and_blanks_score_zero(benchmark: world.Benchmark) -> None:
    is_correct = RULES[benchmark]
    rows = rows_of(benchmark, "test") + rows_of(benchmark, "train")
    assert all(is_correct(row["answer"], row["target"]) for row in rows)
    assert not [row for row in rows if is_correct("", row["target"]) or is_correct("####", row["target"])]


def test_word_problems_are_solved_by_their_sums() -> None:
    for row in rows_of("tiny_math", "test") + rows_of("tiny_math", "train"):
        sums, _, _ = row["answer"].partition("\n")
        for one in sums.rstrip(".").split(". "):
            left, operation, right, _, result = one.split()
            shown = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
            assert shown.get(operation, int(left) / int(right)) == int(result)
        assert row["target"] == result


def test_requests_name_every_argument() -> None:
    for row in rows_of("tiny_tools", "test"):
        call = tool_call.parse_call(row["target"])
        assert call is not None
        request = row["question"].splitlines()[-1]
        values = [shown.partition(":")[2].strip("'") for shown in call.arguments.values()]
        assert all(value.lower() in request.lower() for value in values)


def test_content_decides_the_side() -> None:
    sides = [side_of(key_of("gain", (a, b))) for a in range(40) for b in range(40)]
    assert 0.2 < sides.count("test") / len(sides) < 0.3


def test_numbers_can_be_read_off_any_wording_in_order() -> None:
    for kind in KINDS:
        for scene in kind.scenes:
            assert re.findall(r"\{([abc])\}", scene) == list("abc"[: len(kind.ranges)])


def test_every_phrase_names_every_parameter_once() -> None:
    for tool in TOOLS:
        for phrase in tool.phrases:
            assert sorted(re.findall(r"\{(\w+)\}", phrase)) == sorted(tool.parameters)


def test_small_talk_is_made_again_and_holds_nothing_of_a_benchmark() -> None:
    shipped = (catalog.dataset_folder(catalog.TINY_CHATTER) / "data/train.jsonl").read_text()
    assert shipped == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chatter.rows(500))
    assert "####" not in shipped
    assert not [tool.name for tool in TOOLS if tool.name in shipped]
