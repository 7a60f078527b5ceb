"""What is shown cannot act on the terminal that shows it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.report.visible import visible


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_nothing_hidden_is_left_and_the_length_holds(text: str, length: int) -> None:
    shown = visible(text, length)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]
    assert len(shown) <= length
    shown.encode()  # no unpaired surrogate is left


@pytest.mark.parametrize(
    ("hostile", "expected"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]8;;http://x\x07y", "\\x1b]8;;http://x\\x07y"),
        ("a\nb\r", "a\\nb\\x0d"),
        ("\u202eevil", "\\u202eevil"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("\x9b31m", "\\x9b31m"),
        ("plain ünïcode ✓", "plain ünïcode ✓"),
    ],
)
def test_hidden_characters_are_written_out(hostile: str, expected: str) -> None:
    assert visible(hostile) == expected


def test_towers_of_combining_marks_are_cut() -> None:
    assert len(visible("a" + "\u0301" * 50)) == 4


def test_long_text_says_that_it_was_cut() -> None:
    assert visible("x" * 100, 10) == "x" * 9 + "…"
