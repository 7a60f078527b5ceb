"""A run's transcript as an Inspect log, for `inspect view`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from posttrainbench.record import RunRecord, RunSpec, Score
from posttrainbench.transcribing.work import ModelUse, Work
from posttrainbench.transcript import EventKind, TranscriptEvent

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog
    from inspect_ai.model import ChatMessage, ModelUsage

HEAD_CHARACTERS = 12 * 1024**2  # of messages that a log holds: viewers load all of it at once
TAIL_CHARACTERS = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Told:
    """All that a log tells of a run; without a record it is not finished."""

    spec: RunSpec
    record: RunRecord | None
    work: Work
    began_utc: str
    prompt: str


def write_eval_log(path: Path, told: Told, events: Iterable[TranscriptEvent]) -> None:
    """Write the log of a run to `path`, whole or not at all."""
    from inspect_ai.log import write_eval_log as write

    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        write(_log(told, list(_bounded(messages(events)))), str(temporary), format="eval")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def messages(events: Iterable[TranscriptEvent]) -> Iterator[ChatMessage]:
    """Inspect's messages: what a model thinks, says and asks for in a row is one of them."""
    turn: list[TranscriptEvent] = []
    for one in events:
        if turn and not (one.kind in _OF_A_TURN and _goes_on(turn, one)):
            yield _turn(turn)
            turn = []
        if one.kind in _OF_A_TURN:
            turn.append(one)
        else:
            yield _message(one)
    if turn:
        yield _turn(turn)


_OF_A_TURN = (EventKind.REASONING, EventKind.TEXT, EventKind.TOOL_CALL)


def _goes_on(turn: list[TranscriptEvent], one: TranscriptEvent) -> bool:
    """Whether an event belongs to the answer before: thoughts come first, calls last."""
    order = _OF_A_TURN.index
    return order(one.kind) >= order(turn[-1].kind) and one.at_s == turn[-1].at_s


def _turn(turn: list[TranscriptEvent]) -> ChatMessage:
    from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText
    from inspect_ai.tool import ToolCall

    content: list[Any] = []
    for one in turn:
        if one.kind is EventKind.REASONING:
            content.append(ContentReasoning(reasoning=_text(one)))
        elif one.kind is EventKind.TEXT:
            content.append(ContentText(text=_text(one)))
    calls = [
        ToolCall(id=one.call_id or uuid4().hex, function=one.tool or "tool", arguments=_arguments(one))
        for one in turn
        if one.kind is EventKind.TOOL_CALL
    ]
    return ChatMessageAssistant(
        content=content, tool_calls=calls or None, model=turn[0].model or None, metadata=_moment(turn[0])
    )


def _message(one: TranscriptEvent) -> ChatMessage:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCallError

    moment = _moment(one)
    if one.kind is EventKind.SYSTEM:
        return ChatMessageSystem(content=_text(one), metadata=moment)
    if one.kind is EventKind.TOOL_RESULT:
        error = ToolCallError("unknown", _text(one)) if one.failed else None  # shown in place of content
        return ChatMessageTool(
            content=_text(one),
            tool_call_id=one.call_id or None,
            function=one.tool or None,
            error=error,
            metadata=moment,
        )
    if one.kind is EventKind.OUTPUT:
        return ChatMessageAssistant(content=_text(one), metadata=moment)
    note = f"[note] {_text(one)}" if one.kind is EventKind.NOTE else _text(one)
    return ChatMessageUser(content=note, metadata=moment)


def _text(one: TranscriptEvent) -> str:
    cut = f"\n[{one.cut_characters} characters were not kept]" if one.cut_characters else ""
    return _encodable(one.text) + cut


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _arguments(one: TranscriptEvent) -> dict[str, Any]:
    try:
        value = json.loads(_encodable(one.text))
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"input": _encodable(one.text)}


def _moment(one: TranscriptEvent) -> dict[str, Any] | None:
    return None if one.at_s is None else {"at_s": round(one.at_s, 3)}


def _bounded(every: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
    """The beginning and the end of messages that are too many, and a note of what is missing between."""
    from inspect_ai.model import ChatMessageUser

    size, left_out, tail_size = 0, 0, 0
    tail: deque[tuple[ChatMessage, int]] = deque()
    for one in every:
        characters = len(one.model_dump_json())
        size += characters
        if size <= HEAD_CHARACTERS:
            yield one
            continue
        tail.append((one, characters))
        tail_size += characters
        while tail_size > TAIL_CHARACTERS and len(tail) > 1:
            tail_size -= tail.popleft()[1]
            left_out += 1
    if left_out:
        yield ChatMessageUser(content=f"[{left_out} messages are left out here: `ptb show --transcript`]")
    yield from (one for one, _ in tail)


# --- the log around them ------------------------------------------------------------------------------------


def _log(told: Told, transcript: list[ChatMessage]) -> EvalLog:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalSample,
        EvalScore,
        EvalSpec,
        EvalStats,
    )  # fmt: skip
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score as InspectScore

    spec, record, work = told.spec, told.record, told.work
    usage = {use.model: _usage(use) for use in work.models}
    score = record.outcome if record and isinstance(record.outcome, Score) else None
    sample = EvalSample(
        id=spec.task.name,
        epoch=1,
        input=told.prompt,
        target="",
        messages=transcript,
        output=ModelOutput(),
        scores={spec.task.benchmark: InspectScore(value=score.mean)} if score else None,
        model_usage=usage,
        metadata=_facts(told),
        total_time=work.wall_s,
    )
    scores = [
        EvalScore(
            name=spec.task.benchmark,
            scorer=spec.task.benchmark,
            metrics={
                name: EvalMetric(name=name, value=value)
                for name, value in (("mean", score.mean), ("stderr", score.stderr))
                if value is not None
            },
        )
    ] if score else []  # fmt: skip
    return EvalLog(
        status="success" if record else "started",
        eval=EvalSpec(
            created=told.began_utc,
            task="posttrainbench",
            task_display_name=spec.task.name,
            run_id=spec.run_id,
            eval_id=spec.run_id,
            dataset=EvalDataset(name=spec.task.benchmark, samples=1, sample_ids=[spec.task.name]),
            model=spec.agent.name,
            config=EvalConfig(),
            metadata={"suite": spec.suite, "suite_digest": spec.suite_digest, "seed": spec.seed},
        ),
        results=EvalResults(total_samples=1, completed_samples=1, scores=scores),
        stats=EvalStats(
            started_at=told.began_utc,
            completed_at=record.published_utc if record else "",
            model_usage=usage,
        ),
        samples=[sample],
    )


def _facts(told: Told) -> dict[str, Any]:
    """What the viewer shows beside the messages."""
    record, work = told.record, told.work
    facts: dict[str, Any] = {
        "transcript": work.source,
        "turns": work.turns,
        "time_s": {str(activity): round(spent_s, 1) for activity, spent_s in work.time_s.items()},
        "tools": {use.tool: use.calls for use in work.tools},
        "evaluations": [
            {"at_s": round(query.at_s, 1), "path": query.path, "score": query.score} for query in work.queries
        ],
    }
    if record is not None:
        facts |= {"verdict": record.verdict.label, "end": record.solved.end}
    return facts


def _usage(use: ModelUse) -> ModelUsage:
    from inspect_ai.model import ModelUsage

    return ModelUsage(
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
        total_tokens=use.input_tokens + use.output_tokens,
        input_tokens_cache_read=use.cached_tokens,
        input_tokens_cache_write=use.cache_write_tokens,
        reasoning_tokens=use.reasoning_tokens,
        total_cost=use.cost_usd,
    )
