"""Where an agent's time went: every moment once, the ledger's word before the agent's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.ledger import LedgerEntry, Scalar, next_entry
from posttrainbench.load import GpuLoad, LoadSample
from posttrainbench.transcribing.work import (
    Activity,
    call_ends,
    models_used,
    queries,
    shares,
    solve_entries,
    summarise,
)
from posttrainbench.transcript import EventKind, Source, TranscriptEvent


def ledger(*events: tuple[int, str, Mapping[str, Scalar]]) -> tuple[LedgerEntry, ...]:
    entries: list[LedgerEntry] = []
    for second, kind, data in events:
        at_utc = f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}+00:00"
        entries.append(next_entry(entries[-1] if entries else None, at_utc, kind, data))
    return tuple(entries)


def stage(second: int, name: str, event: str, attempt: int = 1) -> tuple[int, str, Mapping[str, Scalar]]:
    return second, "stage", {"stage": name, "event": event, "attempt": attempt}


def model_call(
    second: int, number: int, wall_s: float = 2.0, cost_usd: float | None = 0.5
) -> tuple[int, str, Mapping[str, Scalar]]:
    data: dict[str, Scalar] = {"call": number, "model": "m", "status": 200, "wall_s": wall_s}
    return second, "model_call", {**data, "input_tokens": 10, "output_tokens": 5, "cost_usd": cost_usd}


def evaluation(second: int, score: float | None, wall_s: float) -> tuple[int, str, Mapping[str, Scalar]]:
    return second, "evaluation", {"path": "final_model", "score": score, "stderr": None, "wall_s": wall_s}


ENTRIES = ledger(
    stage(0, "prepare", "start"),
    stage(10, "solve", "start"),
    model_call(14, 1),
    model_call(30, 2),
    evaluation(60, 0.25, 20.0),
    model_call(64, 3),
    stage(70, "solve", "end"),
    model_call(80, 1),
)
EVENTS = (
    TranscriptEvent(EventKind.TOOL_CALL, '{"command": "python train_sft.py"}', 4.0, "Bash", "a"),
    TranscriptEvent(EventKind.TOOL_RESULT, "loss 1.0", 18.0, "", "a"),
    TranscriptEvent(EventKind.TOOL_CALL, '{"command": "python evaluate.py"}', 20.0, "Bash", "b"),
    TranscriptEvent(EventKind.TOOL_RESULT, "score 0.25", 52.0, "", "b", failed=True),
    TranscriptEvent(EventKind.TOOL_CALL, '{"command": "ls"}', 54.0, "Read", "c"),
)


def test_time_is_told_by_what_it_went_into() -> None:
    work = summarise(Source.CALLS, EVENTS, solve_entries(ENTRIES, 1), (), wall_s=60.0)
    assert work.turns == 3
    assert [(use.tool, use.calls, use.failed) for use in work.tools] == [("Bash", 2, 1), ("Read", 1, 0)]
    assert work.time_s == {
        Activity.EVALUATING: 20.0,  # 30 to 50
        Activity.TRAINING: 14.0,  # 4 to 18
        Activity.MODEL: 6.0,  # 2 to 4, 18 to 20, 52 to 54
        Activity.TOOLS: 18.0,  # 20 to 30, 50 to 52, 54 to the end, when the agent was cut off
        Activity.REST: 2.0,
    }


def test_gpus_at_work_are_training_unless_an_evaluation_uses_them() -> None:
    busy = (GpuLoad(0.9, 1),)
    load = [LoadSample(at_s, 1.0, 1, 1, 1, busy) for at_s in (20.0, 25.0, 35.0)]
    load.append(LoadSample(40.0, 1.0, 1, 1, 1, (GpuLoad(0.1, 1),)))
    work = summarise(Source.CALLS, (), solve_entries(ENTRIES, 1), load, wall_s=60.0)
    assert work.time_s[Activity.TRAINING] == 10.0  # 20 to 30; from then on it evaluates


@pytest.mark.parametrize("attempt", [1, 2])
def test_only_the_attempt_that_counts_is_looked_at(attempt: int) -> None:
    again = ledger(
        stage(0, "solve", "start"), model_call(5, 1), stage(9, "solve", "start", 2), model_call(20, 1)
    )
    assert call_ends(solve_entries(again, attempt))[1] == {1: 20.0, 2: 11.0}[attempt]
    assert solve_entries(again, 3) == ()


def test_a_missing_price_is_no_zero() -> None:
    (priced,) = models_used(ledger(model_call(1, 1), model_call(2, 2)))
    assert (priced.calls, priced.input_tokens, priced.output_tokens, priced.cost_usd) == (2, 20, 10, 1.0)
    (unpriced,) = models_used(ledger(model_call(1, 1), model_call(2, 2, cost_usd=None)))
    assert unpriced.cost_usd is None


def test_an_evaluation_without_a_score_has_none() -> None:
    told = list(
        queries(ledger(stage(0, "solve", "start"), evaluation(5, None, 1.0), evaluation(9, 0.5, 1.0)))
    )
    assert [(query.at_s, query.score) for query in told] == [(5.0, None), (9.0, 0.5)]


spans = st.dictionaries(
    st.sampled_from([activity for activity in Activity if activity is not Activity.REST]),
    st.lists(st.tuples(st.floats(-10, 110), st.floats(-10, 110)), max_size=6),
)


@given(spans)
def test_shares_are_never_negative_and_sum_to_the_whole(
    found: dict[Activity, list[tuple[float, float]]],
) -> None:
    told = shares(found, 100.0)
    assert set(told) == set(Activity)
    assert min(told.values()) >= -1e-9
    assert sum(told.values()) == pytest.approx(100.0)
