"""Turns: whether an agent that stopped goes on, and how. A turn ends when the agent's command does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from posttrainbench.flows.prepare import duration
from posttrainbench.record import SolveEnd, Turn
from posttrainbench.task import AfterOutage, Rules

How = Literal["start", "resume", "fresh_start"]
IDLE_TURNS = 3  # in a row, after which nobody is told to go on
SOON_S = 600.0  # a turn longer than this is no idle one, whatever came of it
FINGERPRINT_FILES = 10_000
_BY_ITSELF = (SolveEnd.FINISHED, SolveEnd.CRASHED, SolveEnd.LLM_FAILED)


def next_turn(rules: Rules, turns: Sequence[Turn], left_s: float, can_go_on: bool) -> How | None:
    """How the agent goes on after its last turn, None when it does not.

    Args:
        left_s: of its time, in seconds.
        can_go_on: whether the agent can be told to.
    """
    last = turns[-1]
    if last.end not in _BY_ITSELF or left_s <= 0 or _has_given_up(turns):
        return None
    if last.end is SolveEnd.LLM_FAILED:
        return "resume" if can_go_on and rules.after_outage is AfterOutage.RESUME else "fresh_start"
    reprompted = rules.reprompt_above_s is not None and left_s > rules.reprompt_above_s
    return "resume" if can_go_on and reprompted else None


def _has_given_up(turns: Sequence[Turn]) -> bool:
    latest = turns[-IDLE_TURNS:]
    return len(latest) == IDLE_TURNS and all(turn.idle for turn in latest)


def reprompt(left_s: float, final_model: str) -> str:
    """What an agent is told that stopped with `left_s` seconds left."""
    return (
        f"You stopped, and {duration(left_s)} of your time are left (./timer.sh tells it). Nobody answers "
        f"questions. Go on: make {final_model}/ better, measure it with evaluate.py, put a version in its "
        "place only when it is better. What you had started in the background ended when you stopped. Read "
        "rules.md again; it still holds. If nothing is left to do, say so and stop."
    )


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of change (ns) of what lies in a folder that an agent made; no link is followed."""
    found: list[tuple[str, int, int]] = []
    waiting = [folder]
    while waiting and len(found) < FINGERPRINT_FILES:
        path = waiting.pop()
        try:
            facts = path.lstat()
            found.append((str(path.relative_to(folder)), facts.st_size, facts.st_mtime_ns))
            if path.is_dir() and not path.is_symlink():
                waiting.extend(path.iterdir())
        except OSError:
            continue
    return tuple(sorted(found))
