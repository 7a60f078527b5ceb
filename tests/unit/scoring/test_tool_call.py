"""Tool calls: equal, nearly equal, and hostile."""

from __future__ import annotations

import pytest

from posttrainbench.scoring.tool_call import is_correct, parse_call

GOLD = 'book_train(city="Lima", day="Monday", seats=3)'


@pytest.mark.parametrize(
    "answer",
    [
        GOLD,
        f"\n  {GOLD}  \n",
        'book_train(seats=3, day="Monday", city="Lima")',
        "book_train(city='Lima', day='Monday', seats=3)",
        'book_train( city = "Lima",\n day="Monday",\n seats=3,\n)',
        'book_train(city="Li" "ma", day="Monday", seats=0x3)',
    ],
)
def test_the_same_call_in_another_dress_is_right(answer: str) -> None:
    assert is_correct(answer, GOLD)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        'book_train(city="Lima", day="Monday", seats=3.0)',
        'book_train(city="Lima", day="Monday", seats="3")',
        'book_train(city="Lima", day="Monday", seats=-3)',
        'book_train(city="Lima", day="Monday", seats=3j)',
        'book_train(city="Lima", day="Monday", seats=[3])',
        'book_train(city="Lima", day="Monday", seats=1+2)',
        'book_train(city="Lima", day="Monday", seats=int("3"))',
        'book_train(city="Lima", day="Monday", seats=seats)',
        'book_train(city="Lima", day="Monday", seats=...)',
        'book_train(city=f"Lima", day="Monday", seats=3)',
        'book_train(city=b"Lima", day="Monday", seats=3)',
        'book_train(city="lima", day="Monday", seats=3)',
        'book_train(city="Lima ", day="Monday", seats=3)',
        'book_train(city="Lima", day="Monday")',
        'book_train(city="Lima", day="Monday", seats=3, bags=1)',
        'book_train(city="Lima", day="Monday", seats=3, seats=3)',
        'book_train("Lima", "Monday", 3)',
        'book_train("Lima", day="Monday", seats=3)',
        'book_train(**{"city": "Lima", "day": "Monday", "seats": 3})',
        'book_train(*[], city="Lima", day="Monday", seats=3)',
        'Book_train(city="Lima", day="Monday", seats=3)',
        'tools.book_train(city="Lima", day="Monday", seats=3)',
        'book_train(city="Lima", day="Monday", seats=3)()',
        'book_train(city="Lima", day="Monday", seats=3).run',
        f"{GOLD}\n{GOLD}",
        f"{GOLD}; {GOLD}",
        f"{GOLD}, {GOLD}",
        f"[{GOLD}]",
        f"x = {GOLD}",
        f"lambda: {GOLD}",
        f"{GOLD} # or seats=4",
        f"{GOLD} if True else 0",
        f"```python\n{GOLD}\n```",
        f"Sure: {GOLD}",
        f"{GOLD}.",
        GOLD[:-1],
        GOLD[1:],
    ],
)
def test_a_near_miss_is_wrong(answer: str) -> None:
    assert not is_correct(answer, GOLD)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("f(a=1)", "f(a=True)"),
        ("f(a=0)", "f(a=False)"),
        ("f(a=None)", 'f(a="None")'),
        ("f(a=0.0)", "f(a=-0.0)"),
        ("f(a=[1])", "f(a=(1,))"),
        ("f(a=[1, 2])", "f(a=[2, 1])"),
        ("f(a=[1])", "f(a=[1.0])"),
        ("f(a={'x': 1})", "f(a={'x': True})"),
        ("f(a='1, str:2')", "f(a=['1', '2'])"),
        ("f()", "g()"),
    ],
)
def test_types_are_part_of_a_value(left: str, right: str) -> None:
    assert is_correct(left, left)
    assert is_correct(right, right)
    assert not is_correct(left, right)


def test_signs_in_strings_are_text() -> None:
    assert is_correct('note(text="a # b (((", size=-2)', "note(size=-2, text='a # b (((')")
    assert is_correct('f(a={"y": 2, "x": 1})', 'f(a={"x": 1, "y": 2})')


@pytest.mark.parametrize(
    "text",
    [
        "f(" * 50_000,
        "f(a=" + "[" * 500 + "]" * 500 + ")",
        "f(a=" + "-" * 900 + "1)",
        "f(a=" + "{1:" * 60 + "1" + "}" * 60 + ")",
        "f(a=" + "9" * 1900 + ")",
        "f(a=" + "9" * 10_000 + ")",
        'f(a="' + "x" * 1_000_000 + '")',
        "f(a=1" + " or 1" * 390 + ")",
        "f(a=" + "not " * 400 + "1)",
        "f(a=" + "1 if 1 else " * 150 + "1)",
        "f(a='\x00')",
        "f(a='\ud800')",
        "f(a=\ud800)",
        "f(a='\\N{no such name}')",
        "f(a='\\d')",
        "f(a=1_)",
        "f(a=1e999)",
        "f(a={**{}})",
        "f(a=__import__('os').system('true'))",
        "\\",
        "'",
        "\uff46(a=1",
        "f(a=" + "lambda:" * 250 + "1)",
    ],
)
def test_hostile_text_never_raises(text: str) -> None:
    assert not is_correct(text, GOLD)
    parse_call(text)
