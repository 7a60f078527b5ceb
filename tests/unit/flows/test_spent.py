"""What earlier attempts spent, as the ledger tells it."""

from __future__ import annotations

from typing import Any

from posttrainbench.budget import Spend
from posttrainbench.flows.spent import spent
from posttrainbench.ledger import LedgerEntry, next_entry


def ledger(*told: tuple[str, dict[str, Any]]) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for kind, data in told:
        entries.append(next_entry(entries[-1] if entries else None, "2026-01-01T00:00:00Z", kind, data))
    return entries


def call(tokens: int = 100, cost_usd: float | None = 0.5, **more: Any) -> tuple[str, dict[str, Any]]:
    return "model_call", {"input_tokens": tokens, "output_tokens": 0, "cost_usd": cost_usd, **more}


def attempt(number: int) -> tuple[str, dict[str, Any]]:
    return "attempt", {"number": number}


def clock(elapsed_s: float) -> tuple[str, dict[str, Any]]:
    return "clock", {"elapsed_s": elapsed_s}


def test_a_new_run_has_spent_nothing() -> None:
    assert spent(ledger(attempt(1))) == Spend(0.0, 0.0, 0, 0, 0)


def test_attempts_add_up_each_by_its_last_clock() -> None:
    told = [attempt(1), clock(60), call(), clock(120), attempt(2), attempt(3), clock(60), call(300)]
    found = spent(ledger(*told))
    assert (found.wall_s, found.tokens, found.cost_usd) == (180, 400, 1.0)


def test_only_queries_that_were_answered_count() -> None:
    told = [("evaluation", {"score": 0.1}), ("evaluation", {"score": None})]
    assert spent(ledger(*told)).evaluations == 1


def test_one_call_without_a_price_makes_the_cost_unknown() -> None:
    found = spent(ledger(call(), call(cost_usd=None)))
    assert (found.cost_usd, found.tokens) == (None, 200)


def test_calls_that_broke_off_count_beside_as_much_as_they_did_not_tell() -> None:
    found = spent(ledger(call(100, 0.5, estimated_tokens=130, estimated_usd=0.75), call()))
    assert (found.tokens, found.cost_usd) == (200, 1.0)
    assert (found.broken_off, found.broken_off_tokens, found.broken_off_usd) == (1, 30, 0.25)
