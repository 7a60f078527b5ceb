"""The final number: what counts, and what only looks like it."""

from __future__ import annotations

import pytest

from posttrainbench.scoring.final_answer import final_number, is_correct


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12 + 30 = 42.\n#### 42", "42"),
        ("####42", "42"),
        ("#### 42.", "42"),
        ("#### 42 apples", "42"),
        ("#### 1,200", "1200"),
        ("#### 1,234,567", "1234567"),
        ("#### 12.0", "12"),
        ("#### 12.50", "12.5"),
        ("#### 007", "7"),
        ("#### +7", "7"),
        ("#### -7", "-7"),
        ("#### -0", "0"),
        ("#### -0.00", "0"),
        ("#### $12", "12"),
        ("#### 0", "0"),
        ("#### 1\nno, wait\n#### 2", "2"),
        ("#### 1 #### 2", "2"),
        ("#### 2\r\n", "2"),
        ("#### " + "9" * 99, "9" * 99),
    ],
)
def test_a_number_is_found_and_normalised(text: str, number: str) -> None:
    assert final_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "The answer is 42",
        "### 42",
        "##### 42",
        "####",
        "#### apples",
        "####\n42",
        "#### 1\n####",
        "#### 1\n#### none",
        "#### 1,2",
        "#### 12,00",
        "#### 12.5.1",
        "#### 1e3",
        "#### 12/4",
        "#### 12%",
        "#### 12abc",
        "#### x = 12",
        "#### --12",
        "#### .",
        "#### ١٢",
        "#### 12²",
        "#### " + "9" * 101,
        "#### " + "9" * 100_000,
        "# # # # 42",
        "\\#\\#\\#\\# 42",
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    assert final_number(text) is None


def test_the_target_is_compared_as_a_number() -> None:
    assert is_correct("#### 1,200.0", "1200")
    assert not is_correct("#### 1200.01", "1200")
    assert not is_correct("", "")
    assert not is_correct("####", "")
    assert not is_correct("1200", "1200")


def test_a_flood_of_marks_is_quick() -> None:
    assert final_number("####" * 200_000) is None
    assert final_number("#### 1 " * 200_000) == "1"
