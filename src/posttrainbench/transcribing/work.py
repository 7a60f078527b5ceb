"""What an agent's hours went into: its model calls, its tools, its evaluations, as shares of its time.

Times of evaluations and of waiting for the model are the ledger's, and cannot be forged. Which tool calls
train is told from their commands, and from GPUs at work: a guess, and named as one where it is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from posttrainbench.ledger import LedgerEntry
from posttrainbench.load import LoadSample
from posttrainbench.record import Stage
from posttrainbench.transcript import EventKind, Source, TranscriptEvent

BUSY = 0.3  # share of a GPU's time from which it is at work
_TRAINING = re.compile(
    r"\b(train|torchrun|accelerate\s+launch|deepspeed|finetun|fine[-_]tun|sft|dpo|grpo|ppo|rlhf|lora|"
    r"distill|axolotl|unsloth|llamafactory|trl\s)",
    re.IGNORECASE,
)
Interval = tuple[float, float]  # seconds since the agent's start


class Activity(StrEnum):
    """What a moment of an agent's time went into; where several hold, the first named here."""

    EVALUATING = "evaluating"
    TRAINING = "training"
    MODEL = "waiting on the model"
    TOOLS = "other tools"
    REST = "the rest"


@dataclass(frozen=True, slots=True)
class Query:
    """An evaluation that the agent asked for."""

    at_s: float  # when its answer came
    path: str
    score: float | None
    stderr: float | None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How often a tool was called, and how often its result was a failure."""

    tool: str
    calls: int
    failed: int


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What the calls of one model took. None: no call said, or no price is known."""

    model: str
    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Work:
    """How an agent worked."""

    source: Source
    wall_s: float
    turns: int  # answers of its model
    tools: tuple[ToolUse, ...]  # most used first
    models: tuple[ModelUse, ...]
    queries: tuple[Query, ...]
    time_s: Mapping[Activity, float]  # they sum to wall_s


def summarise(
    source: Source,
    events: Iterable[TranscriptEvent],
    entries: Sequence[LedgerEntry],
    load: Sequence[LoadSample],
    wall_s: float,
) -> Work:
    """The work that a transcript, the ledger's entries of its attempt, and its samples show."""
    calls: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    tool_times: list[tuple[Interval, bool]] = []
    waiting: dict[str, TranscriptEvent] = {}  # calls whose result has not come
    for one in events:
        if one.kind is EventKind.TOOL_CALL:
            calls[one.tool or "?"] += 1
            waiting[one.call_id or one.tool] = one
        elif one.kind is EventKind.TOOL_RESULT:
            call = waiting.pop(one.call_id or one.tool, None)
            if call is not None:
                failed[call.tool or "?"] += one.failed
                if call.at_s is not None and one.at_s is not None:
                    trains = _TRAINING.search(call.text) is not None
                    tool_times.append(((call.at_s, one.at_s), trains))
    tool_times += [((call.at_s, wall_s), _TRAINING.search(call.text) is not None)
                   for call in waiting.values() if call.at_s is not None]  # fmt: skip
    spans = {
        Activity.EVALUATING: list(_ended(entries, "evaluation")),
        Activity.TRAINING: [*(span for span, trains in tool_times if trains), *_gpus_at_work(load)],
        Activity.MODEL: list(_ended(entries, "model_call")),
        Activity.TOOLS: [span for span, trains in tool_times if not trains],
    }
    return Work(
        source,
        wall_s,
        sum(entry.kind == "model_call" and entry.data.get("status") == 200 for entry in entries),
        tuple(ToolUse(tool, count, failed[tool]) for tool, count in calls.most_common()),
        models_used(entries),
        tuple(queries(entries)),
        shares(spans, wall_s),
    )


def shares(spans: Mapping[Activity, Sequence[Interval]], wall_s: float) -> dict[Activity, float]:
    """Seconds of each activity; a moment counts once, for the activity that comes first."""
    found = dict.fromkeys(Activity, 0.0)
    taken: list[Interval] = []
    covered_s = 0.0
    for activity in Activity:
        if activity is Activity.REST:
            continue
        clipped = [(max(0.0, start), min(wall_s, end)) for start, end in spans.get(activity, ())]
        taken = _united([*taken, *clipped])
        total_s = sum(end - start for start, end in taken)
        found[activity] = total_s - covered_s
        covered_s = total_s
    found[Activity.REST] = max(0.0, wall_s - covered_s)
    return found


def _united(spans: Iterable[Interval]) -> list[Interval]:
    """The same moments as intervals that do not touch, in order."""
    united: list[Interval] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _gpus_at_work(load: Sequence[LoadSample]) -> Iterator[Interval]:
    for before, sample in pairwise(load):
        if any(gpu.busy >= BUSY for gpu in sample.gpus):
            yield before.at_s, sample.at_s


# --- the ledger ---------------------------------------------------------------------------------------------


def solve_entries(entries: Sequence[LedgerEntry], attempt: int) -> tuple[LedgerEntry, ...]:
    """The ledger's entries from the start of an attempt's stage solve to its end, or to the last there is."""
    start = next((n for n, entry in enumerate(entries) if _is(entry, "start", attempt)), None)
    if start is None:
        return ()
    end = next((n for n, entry in enumerate(entries) if _is(entry, "end", attempt)), len(entries))
    return tuple(entries[start:end])


def _is(entry: LedgerEntry, what: str, attempt: int) -> bool:
    wanted = {"stage": Stage.SOLVE, "event": what, "attempt": attempt}
    return entry.kind == "stage" and all(entry.data.get(name) == value for name, value in wanted.items())


def elapsed_s(entries: Sequence[LedgerEntry]) -> float:
    """Seconds from the first of these entries to the last."""
    return max((at_s for _, at_s in _timed(entries)), default=0.0)


def call_ends(entries: Sequence[LedgerEntry]) -> dict[int, float]:
    """A model call's number -> when it had its answer, in seconds since the first of these entries."""
    return {
        number: at_s
        for entry, at_s in _timed(entries)
        if entry.kind == "model_call" and isinstance(number := entry.data.get("call"), int)
    }


def queries(entries: Sequence[LedgerEntry]) -> Iterator[Query]:
    """The evaluations that were answered, in order."""
    for entry, at_s in _timed(entries):
        if entry.kind == "evaluation":
            score, stderr = entry.data.get("score"), entry.data.get("stderr")
            yield Query(
                at_s,
                str(entry.data.get("path") or ""),
                float(score) if isinstance(score, int | float) else None,
                float(stderr) if isinstance(stderr, int | float) else None,
            )


def models_used(entries: Sequence[LedgerEntry]) -> tuple[ModelUse, ...]:
    """What the model calls took, model by model."""
    by_model: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        if entry.kind == "model_call":
            by_model.setdefault(str(entry.data.get("model") or "?"), []).append(entry)
    return tuple(_model_use(model, calls) for model, calls in by_model.items())


def _model_use(model: str, calls: Sequence[LedgerEntry]) -> ModelUse:
    def total(name: str) -> int:
        return sum(value for call in calls if isinstance(value := call.data.get(name), int))

    paid = [call for call in calls if call.data.get("input_tokens") is not None]
    costs = [cost for call in paid if isinstance(cost := call.data.get("cost_usd"), int | float)]
    return ModelUse(
        model,
        len(calls),
        total("input_tokens"),
        total("cached_tokens"),
        total("cache_write_tokens"),
        total("output_tokens"),
        total("reasoning_tokens"),
        float(sum(costs)) if len(costs) == len(paid) else None,
    )


def _ended(entries: Sequence[LedgerEntry], kind: str) -> Iterator[Interval]:
    """The spans of entries that are written when something ends, and say how long it took."""
    for entry, at_s in _timed(entries):
        wall_s = entry.data.get("wall_s")
        if entry.kind == kind and isinstance(wall_s, int | float):
            yield at_s - wall_s, at_s


def _timed(entries: Sequence[LedgerEntry]) -> Iterator[tuple[LedgerEntry, float]]:
    """Entries with the seconds since the first of them; those whose time cannot be read are left out."""
    began = _time(entries[0]) if entries else None
    for entry in entries:
        at = _time(entry)
        if began is not None and at is not None:
            yield entry, (at - began).total_seconds()


def _time(entry: LedgerEntry) -> datetime | None:
    try:
        return datetime.fromisoformat(entry.at_utc)
    except ValueError:
        return None
