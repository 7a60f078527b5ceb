"""The model calls that a gateway carried -> transcript events: the authoritative transcript.

A request repeats the conversation so far. What is told of it is what no request before held; what the model
said is taken from responses alone.

Covered: four dialects, answers whole or streamed, whole or cut off; several conversations at once
(sub-agents, a scaffold's own questions); histories that a scaffold shortens or edits. What the provider said
cannot be forged from within a sandbox, nor can it be hidden that a call was made. Not covered: words that a
program puts into its model's mouth (an assistant message in a request that no response held) are not told;
what tools printed is what the scaffold says that they printed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from posttrainbench.transcribing.fields import Json, flat, inner, json_objects, objects, text
from posttrainbench.transcribing.streams import anthropic_block, chat_call
from posttrainbench.transcript import CapturedCall, EventKind, TranscriptEvent, event

Events = Iterator[TranscriptEvent]
_ASSISTANT = ("assistant", "model")


def read_captured(calls: Iterable[CapturedCall], ended_s: Mapping[int, float]) -> Events:
    """The events of captured calls in order.

    Args:
        ended_s: a call's number -> when its answer had come, seconds since the agent's start.
    """
    seen: set[bytes] = set()
    for call in calls:
        end_s = ended_s.get(call.number) if call.number is not None else None
        begin_s = None if end_s is None else max(0.0, end_s - call.wall_s)
        asked, said = DIALECTS.get(call.dialect, (_nothing, _nothing_said))
        for part in _unseen(asked(call.request), seen):
            yield from _request_events(part, begin_s)
        answered = list(json_objects(call.response))
        if call.error or (call.status is not None and call.status != 200):
            told = " ".join(text(inner(one, "error"), "message") for one in answered)
            why = f"model call failed: {call.error or f'status {call.status}'} {told}".rstrip()
            yield event(EventKind.NOTE, why, end_s, failed=True, model=call.model)
        yield from said(answered, end_s, call.model)


def _unseen(parts: Iterable[tuple[str, Json]], seen: set[bytes]) -> Iterator[tuple[str, Json]]:
    """Parts that no request before held as often as this one does; `seen` is added to."""
    held: Counter[bytes] = Counter()
    for role, part in parts:
        marked = {name: value for name, value in part.items() if name != "cache_control"}
        digest = hashlib.sha256(json.dumps([role, marked], sort_keys=True).encode()).digest()[:16]
        held[digest] += 1
        key = digest + held[digest].to_bytes(4, "big")
        if key not in seen:
            seen.add(key)
            yield role, part


def _request_events(part: tuple[str, Json], at_s: float | None) -> Events:
    """The events of one part, whose role is "system", "user" or "tool"; what a model said is left out."""
    role, block = part
    if role == "system":
        yield event(EventKind.SYSTEM, flat(block.get("text")), at_s)
    elif role == "tool":
        call_id, tool = text(block, "call_id"), text(block, "tool")
        failed = bool(block.get("failed"))
        yield event(EventKind.TOOL_RESULT, flat(block.get("text")), at_s, tool, call_id, failed)
    elif role == "user":
        yield event(EventKind.PROMPT, flat(block.get("text")), at_s)


# --- what was asked: (role, {"text", ...}) in the order of the conversation ---------------------------------

Parts = Iterator[tuple[str, Json]]


def _nothing(_request: Json) -> Parts:
    return iter(())


def _texts(role: str, content: object) -> Parts:
    """A text, or a list of texts, as parts of one role."""
    if isinstance(content, str):
        yield role, {"text": content}
    for block in objects(content):
        if isinstance(block.get("text"), str):
            yield role, {"text": block["text"]}


def _asked_anthropic(request: Json) -> Parts:
    yield from _texts("system", request.get("system"))
    for message in objects(request.get("messages")):
        role, content = text(message, "role"), message.get("content")
        if role in _ASSISTANT:
            continue
        yield from _texts("user", content if isinstance(content, str) else None)
        for block in objects(content):
            if text(block, "type") == "tool_result":
                yield (
                    "tool",
                    {
                        "text": flat(block.get("content")),
                        "call_id": text(block, "tool_use_id"),
                        "failed": bool(block.get("is_error")),
                    },
                )
            else:
                yield from _texts("user", [block])


def _asked_responses(request: Json) -> Parts:
    yield from _texts("system", request.get("instructions"))
    items = request.get("input")
    if isinstance(items, str):
        yield "user", {"text": items}
    for item in objects(items):
        role = text(item, "role")
        if text(item, "type").endswith("_output"):
            yield "tool", {"text": flat(item.get("output")), "call_id": text(item, "call_id")}
        elif role and role not in _ASSISTANT:
            yield from _texts("system" if role in ("system", "developer") else "user", item.get("content"))


def _asked_chat(request: Json) -> Parts:
    for message in objects(request.get("messages")):
        role, content = text(message, "role"), message.get("content")
        if role == "tool":
            yield "tool", {"text": flat(content), "call_id": text(message, "tool_call_id")}
        elif role not in _ASSISTANT:
            yield from _texts("system" if role in ("system", "developer") else "user", content)


def _asked_gemini(request: Json) -> Parts:
    instructions = inner(request, "systemInstruction") or inner(request, "system_instruction")
    yield from _texts("system", instructions.get("parts"))
    for content in objects(request.get("contents")):
        if text(content, "role") in _ASSISTANT:
            continue
        for part in objects(content.get("parts")):
            answer = inner(part, "functionResponse")
            if answer:
                response = inner(answer, "response")
                result = response.get("output", response.get("error", response))
                yield (
                    "tool",
                    {
                        "text": flat(result),
                        "call_id": text(answer, "id"),
                        "tool": text(answer, "name"),
                        "failed": "error" in response,
                    },
                )
            else:
                yield from _texts("user", [part])


# --- what was said ------------------------------------------------------------------------------------------


def _nothing_said(_messages: list[Json], _at_s: float | None, _model: str) -> Events:
    return iter(())


def _said_anthropic(messages: list[Json], at_s: float | None, model: str) -> Events:
    blocks: dict[int, dict[str, Any]] = {}
    pieces: dict[int, list[str]] = {}  # of the arguments of a tool call, which come as JSON text
    for message in messages:
        kind, index = text(message, "type"), message.get("index")
        if kind == "message":
            for block in objects(message.get("content")):
                yield from anthropic_block(block, "assistant", at_s, model)
        elif not isinstance(index, int):
            continue
        elif kind == "content_block_start":
            blocks[index] = dict(inner(message, "content_block"))
        elif kind == "content_block_delta" and index in blocks:
            delta = inner(message, "delta")
            for name in ("text", "thinking"):
                if name in delta:
                    pieces.setdefault(index, []).append(text(delta, name))
            if "partial_json" in delta:
                pieces.setdefault(index, []).append(text(delta, "partial_json"))
    for index, block in blocks.items():
        whole = "".join(pieces.get(index, []))
        field = {"text": "text", "thinking": "thinking"}.get(text(block, "type"), "input")
        told = {**block, field: whole} if whole else block
        yield from anthropic_block(told, "assistant", at_s, model)


def _said_responses(messages: list[Json], at_s: float | None, model: str) -> Events:
    items: dict[str, Json] = {}  # the last that was told of each
    for message in messages:
        whole = inner(message, "response") or message
        found = [*objects(message.get("item")), *objects(whole.get("output"))]
        for item in found:
            if text(message, "type") != "response.output_item.added":
                items[text(item, "id") or json.dumps(item)] = item
    for item in items.values():
        yield from _responses_item(item, at_s, model)


def _responses_item(item: Json, at_s: float | None, model: str) -> Events:
    kind, call_id = text(item, "type"), text(item, "call_id") or text(item, "id")
    if kind == "message":
        yield event(EventKind.TEXT, flat(item.get("content")), at_s, model=model)
    elif kind == "reasoning":
        told = flat(item.get("summary") or item.get("content") or "")
        if told:
            yield event(EventKind.REASONING, told, at_s, model=model)
    elif kind.endswith("_call"):
        told = flat(item.get("arguments") or item.get("input") or item.get("action"))
        tool = text(item, "name") or kind.removesuffix("_call")
        yield event(EventKind.TOOL_CALL, told, at_s, tool, call_id, model=model)


def _said_chat(messages: list[Json], at_s: float | None, model: str) -> Events:
    reasoning: list[str] = []
    said: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    for message in messages:
        for choice in objects(message.get("choices")):
            part = inner(choice, "delta") or inner(choice, "message")
            reasoning.append(text(part, "reasoning_content") or text(part, "reasoning"))
            said.append(flat(part.get("content")))
            for place, call in enumerate(objects(part.get("tool_calls"))):
                index = call.get("index", place)
                _add_call(calls, index if isinstance(index, int) else place, call)
    if any(reasoning):
        yield event(EventKind.REASONING, "".join(reasoning), at_s, model=model)
    if any(said):
        yield event(EventKind.TEXT, "".join(said), at_s, model=model)
    for call in calls.values():
        function = {"name": call["name"], "arguments": "".join(call["arguments"])}
        yield chat_call({"id": call["id"], "function": function}, at_s, model)


def _add_call(calls: dict[int, dict[str, Any]], index: int, call: Json) -> None:
    """Add a piece of a call to what came of it before."""
    known = calls.setdefault(index, {"id": "", "name": "", "arguments": []})
    function = inner(call, "function")
    known["id"] = known["id"] or text(call, "id")
    known["name"] = known["name"] or text(function, "name")
    known["arguments"].append(flat(function.get("arguments")))


def _said_gemini(messages: list[Json], at_s: float | None, model: str) -> Events:
    told: list[tuple[EventKind, str]] = []
    calls: list[Json] = []
    for message in messages:
        for candidate in objects(message.get("candidates")):
            for part in objects(inner(candidate, "content").get("parts")):
                if inner(part, "functionCall"):
                    calls.append(inner(part, "functionCall"))
                elif text(part, "text"):
                    kind = EventKind.REASONING if part.get("thought") is True else EventKind.TEXT
                    told.append((kind, text(part, "text")))
    for kind in (EventKind.REASONING, EventKind.TEXT):
        whole = "".join(piece for of, piece in told if of is kind)
        if whole:
            yield event(kind, whole, at_s, model=model)
    for call in calls:
        arguments = flat(call.get("args"))
        yield event(EventKind.TOOL_CALL, arguments, at_s, text(call, "name"), text(call, "id"), model=model)


_Asked = Callable[[Json], Parts]
_Said = Callable[[list[Json], float | None, str], Events]
DIALECTS: Mapping[str, tuple[_Asked, _Said]] = {
    "anthropic-messages": (_asked_anthropic, _said_anthropic),
    "openai-responses": (_asked_responses, _said_responses),
    "openai-chat": (_asked_chat, _said_chat),
    "gemini": (_asked_gemini, _said_gemini),
}
