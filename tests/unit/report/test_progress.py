"""What a run is doing now, in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posttrainbench.cli.run import Asked, chosen
from posttrainbench.cli.setup_run import spec_of
from posttrainbench.ledger import LedgerEntry, next_entry
from posttrainbench.record import RunSpec
from posttrainbench.report.progress import now_of


def minute(number: int) -> datetime:
    return datetime(2026, 1, 1, 0, number, tzinfo=UTC)


def ledger(*told: tuple[str, int, dict[str, Any]]) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for kind, at, data in told:
        entries.append(next_entry(entries[-1] if entries else None, minute(at).isoformat(), kind, data))
    return entries


def spec_of_600_s() -> RunSpec:
    asked = Asked(None, None, None, "tiny-qwen3-base", "tiny_math", None, 0, 600.0, None, "bwrap", Path())
    suite, task, agent = chosen(asked)
    return spec_of(suite, task, agent.spec, 0, "bwrap", None, "")


STARTED = {"stage": "solve", "event": "start"}


def now(entries: list[LedgerEntry], at: int) -> str:
    return now_of(entries, spec_of_600_s(), minute(at).timestamp())


def test_the_time_left_runs_on_from_the_last_clock() -> None:
    entries = ledger(("attempt", 0, {}), ("stage", 0, STARTED))
    assert now(entries, 1) == "solve, 9:00 left"
    slept = ("clock", 9, {"elapsed_s": 60.0, "deadline_moved_s": 480.0})  # the host was suspended meanwhile
    assert (
        now([*entries, next_entry(entries[-1], minute(9).isoformat(), *slept[::2])], 10) == "solve, 8:00 left"
    )


def test_what_an_earlier_attempt_took_is_not_left() -> None:
    earlier = [("attempt", 0, {}), ("stage", 0, STARTED), ("clock", 2, {"elapsed_s": 120.0})]
    entries = ledger(*earlier, ("attempt", 20, {}), ("stage", 20, STARTED))
    assert now(entries, 21) == "solve, 7:00 left"


def test_before_and_after_the_agent_only_the_stage_is_told() -> None:
    assert now([], 0) == "waiting"
    assert now(ledger(("stage", 0, {"stage": "seal", "event": "start"})), 1) == "seal"
