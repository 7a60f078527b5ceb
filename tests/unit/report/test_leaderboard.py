"""The table fits, shows what does not count, and explains every symbol that it uses."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from posttrainbench.leaderboard import Leaderboard, Mark
from posttrainbench.report.leaderboard import LeaderboardView
from posttrainbench.report.wording import MARKS


def printed(board: Leaderboard, width: int, encoding: str = "utf-8", colours: bool = False) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=width, force_terminal=colours, legacy_windows=False)
    console.print(LeaderboardView(board))
    out.flush()
    return out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(board: Leaderboard, width: int) -> None:
    assert max(map(len, printed(board, width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_every_agent_its_score_and_the_rules_are_there(board: Leaderboard, width: int) -> None:
    text = printed(board, width)
    for agent in ("honest", "cheat", "broken", "unchecked", "odd", "half", "slow", "loose"):
        assert agent in text
    assert "62.0" in text
    assert "policy paper" in text
    assert board.suite_digest[:16] in text


def test_a_wide_terminal_has_a_column_per_benchmark_and_one_for_novel_content(board: Leaderboard) -> None:
    heading = printed(board, 140).split("honest")[0]
    assert all(word in heading for word in ("maths", "tools", "novel"))


def test_every_symbol_is_explained(board: Leaderboard) -> None:
    text = printed(board, 100)
    for mark in Mark:
        symbol, _, meaning = MARKS[mark]
        assert f"{symbol} {meaning}" in text


def test_a_partial_mean_is_in_brackets_and_unranked(board: Leaderboard) -> None:
    line = next(line for line in printed(board, 100).splitlines() if " half " in line)
    assert "(50.0)" in line
    assert not line.strip()[0].isdigit()


def test_a_disqualified_agent_shows_what_it_claimed_only_in_a_note(board: Leaderboard) -> None:
    lines = [line for line in printed(board, 120).splitlines() if "cheat" in line]
    assert "97.0" not in lines[0]
    assert "97.0" in lines[1]
    assert "disqualified" in lines[1]


def test_hostile_names_have_no_effect(board: Leaderboard) -> None:
    text = printed(board, 200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold red]" in text, "markup is text"
    coloured = printed(board, 200, colours=True)
    assert "\x1b[31m\u202e" not in coloured


def test_a_terminal_without_unicode_gets_ascii(board: Leaderboard) -> None:
    text = printed(board, 100, encoding="ascii")
    assert "+-" in text
    assert "X disqualified" in text
