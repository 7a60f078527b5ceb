"""What a grader is shown: no thinking, no runaway repetition, and nothing else changed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.scoring.graded_text import graded_text, runs, without_repetition, without_thinking


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<think>plan</think>The tide.", "The tide."),
        ("\n <think>plan\nmore</think>\n\nThe tide.", "The tide."),
        ("<think></think>The tide.", "The tide."),
        ("plan, opened by the template</think>The tide.", "The tide."),
        ("<think>it never ends", ""),
        (
            "Tags such as <think> and </think> are text here.",
            "Tags such as <think> and </think> are text here.",
        ),
        ("<think>a</think>b</think>c", "b</think>c"),
        ("The tide.", "The tide."),
        ("", ""),
    ],
)
def test_only_what_comes_before_the_answer_is_thinking(completion: str, answer: str) -> None:
    assert graded_text(completion) == answer


@pytest.mark.parametrize("unit", ["tide ", "the grey tide came in ", "One line.\n", "A.\n\nB, C.\n\n"])
def test_a_sixth_repetition_and_all_after_it_are_cut(unit: str) -> None:
    assert without_repetition(f"Before {unit * 5}after.") == f"Before {unit * 5}after."
    for times in (6, 7, 40):
        assert without_repetition(f"Before {unit * times}after.") == f"Before {unit * 5}after."


def test_a_run_without_blanks_is_cut_when_it_is_long() -> None:
    assert without_repetition("ha" * 5000) == "ha" * 5
    assert without_repetition("a" * 30000) == "aaaaa"
    assert without_repetition("潮" * 300 + "。") == "潮" * 5 + "。"


@pytest.mark.parametrize("text", ["-" * 80, "| --- | --- |\n", "Hm........ no.", "    a\n\n\n\n\n\n\nb"])
def test_short_runs_of_signs_stay(text: str) -> None:
    assert without_repetition(text) == text


def test_what_counts_on_does_not_repeat() -> None:
    text = " ".join(f"Verse {number}: the tide." for number in range(100))
    assert without_repetition(text) == text


def test_a_longer_unit_within_the_same_text_is_seen_too() -> None:
    text = "x y z " * 8 + "then " + "p q " * 9
    assert without_repetition(text) == "x y z " * 5 + "then " + "p q " * 5


def test_an_unfinished_last_repetition_stays_behind_the_five() -> None:
    assert without_repetition("one two three " * 20 + "one two") == "one two three " * 5 + "one two"


@given(st.text(alphabet="ab \n", max_size=60))
def test_what_does_not_repeat_comes_back_as_it_was(text: str) -> None:
    words = text.split()
    has_run = bool(runs(words, 200))
    assert (without_repetition(text) == text) is not has_run


@given(st.lists(st.sampled_from("ab"), max_size=40))
def test_runs_are_those_that_looking_everywhere_finds(items: list[str]) -> None:
    def repeats(start: int, unit: int) -> bool:
        first = items[start : start + unit]
        return all(items[start + k * unit : start + (k + 1) * unit] == first for k in range(6))

    anywhere = any(
        repeats(start, unit)
        for unit in range(1, len(items) // 6 + 1)
        for start in range(len(items) - 6 * unit + 1)
    )
    assert bool(runs(items, 200)) is anywhere


def test_long_answers_cost_milliseconds() -> None:
    text = " ".join(f"w{number % 997}" for number in range(12000))
    started = time.process_time()
    for _ in range(5):
        without_repetition(text)
    assert (time.process_time() - started) / 5 < 0.5


def test_thinking_is_kept_when_nothing_closes_and_nothing_opens() -> None:
    assert without_thinking("  plain") == "  plain"
