"""Whether an agent that stopped goes on, as the rules say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posttrainbench.flows.turns import IDLE_TURNS, fingerprint, next_turn, reprompt
from posttrainbench.record import SolveEnd, Turn
from posttrainbench.task import AfterOutage, Policy, Rules

HOUR_S = 3600.0
REPROMPTING = Rules(Policy.PAPER, reprompt_above_s=600)


def turn(end: SolveEnd = SolveEnd.FINISHED, idle: bool = False) -> Turn:
    return Turn("start", 0.0, 60.0, end, 0, idle=idle)


def test_who_stops_early_is_told_to_go_on_where_the_rules_say_so() -> None:
    assert next_turn(REPROMPTING, [turn()], HOUR_S, can_go_on=True) == "resume"
    assert next_turn(REPROMPTING, [turn(SolveEnd.CRASHED)], HOUR_S, can_go_on=True) == "resume"
    assert next_turn(REPROMPTING, [turn()], 600, can_go_on=True) is None
    assert next_turn(REPROMPTING, [turn()], HOUR_S, can_go_on=False) is None
    assert next_turn(Rules(Policy.PAPER), [turn()], HOUR_S, can_go_on=True) is None


@pytest.mark.parametrize(
    "end",
    [
        SolveEnd.DEADLINE,
        SolveEnd.MEMORY_LIMIT,
        SolveEnd.DISK_LIMIT,
        SolveEnd.PIDS_LIMIT,
        SolveEnd.BUDGET_SPENT,
    ],
)
def test_nobody_goes_on_past_a_limit(end: SolveEnd) -> None:
    assert next_turn(REPROMPTING, [turn(end)], HOUR_S, can_go_on=True) is None


def test_after_an_outage_a_new_session_begins_unless_the_rules_say_resume() -> None:
    died = [turn(SolveEnd.LLM_FAILED)]
    resuming = Rules(Policy.PAPER, after_outage=AfterOutage.RESUME)
    assert next_turn(Rules(Policy.PAPER), died, HOUR_S, can_go_on=True) == "fresh_start"
    assert next_turn(resuming, died, HOUR_S, can_go_on=True) == "resume"
    assert next_turn(resuming, died, HOUR_S, can_go_on=False) == "fresh_start"
    assert next_turn(REPROMPTING, died, HOUR_S, can_go_on=True) == "fresh_start"
    assert next_turn(Rules(Policy.PAPER), died, 0.0, can_go_on=True) is None


@pytest.mark.parametrize("end", [SolveEnd.FINISHED, SolveEnd.LLM_FAILED])
def test_who_does_nothing_three_times_in_a_row_is_left_alone(end: SolveEnd) -> None:
    lazy = [turn(end, idle=True)] * IDLE_TURNS
    assert next_turn(REPROMPTING, lazy, HOUR_S, can_go_on=True) is None
    assert next_turn(REPROMPTING, lazy[1:], HOUR_S, can_go_on=True) is not None
    assert next_turn(REPROMPTING, [*lazy[1:], turn(end), lazy[0]], HOUR_S, can_go_on=True) is not None


def test_a_reprompt_tells_the_time_left_and_the_folder_that_counts() -> None:
    assert "1 hour 30 minutes" in reprompt(5400, "final_model")
    assert "final_model/" in reprompt(5400, "final_model")


def test_a_change_to_what_an_agent_made_is_seen_and_no_link_is_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "final_model", tmp_path / "outside"
    assert fingerprint(folder) == ()
    folder.mkdir()
    outside.mkdir()
    (folder / "weights").write_text("one")
    (folder / "link").symlink_to(outside)
    first = fingerprint(folder)
    (outside / "file").write_text("not the agent's")
    assert fingerprint(folder) == first
    (folder / "weights").write_text("more")
    second = fingerprint(folder)
    assert second != first
    os.utime(folder / "weights", (1, 1))
    assert fingerprint(folder) != second
    loop = tmp_path / "loop"
    loop.symlink_to(outside)
    assert len(fingerprint(loop)) == 1
