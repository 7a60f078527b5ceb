"""What stock command lines print -> transcript events; one reader for each form.

Covered: lines that are no JSON, that are cut, or of another shape than the form has: plain output.
Not covered: whether any of it is true. It is the agent's word; see `captured.py` for what is not.

Sources: the programs' own output, seen with the versions in agents/scaffolds.toml.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from posttrainbench.transcribing.fields import Json, flat, inner, objects, parsed, text
from posttrainbench.transcript import TEXT_CHARACTERS, EventKind, Line, TranscriptEvent, event

PLAIN_TEXT = "plain-text"
TOGETHER_S = 1.0  # plain lines that come within this are one event
DOCUMENT_CHARACTERS = 8 * 1024 * 1024
Events = Iterator[TranscriptEvent]
Reader = Callable[[Json, float], Iterable[TranscriptEvent] | None]


def read_stream(form: str, lines: Iterable[Line]) -> Events:
    """The events of a program's output; a form that nobody knows is read as plain text."""
    reader = FORMS.get(form, _plain)()
    whole_lines = _documents(lines) if form == "mini-swe-agent" else lines
    return _joined(_read(reader, whole_lines), form)


def _read(reader: Reader, lines: Iterable[Line]) -> Events:
    for line in lines:
        value = None if line.cut_characters else parsed(line.text)
        found = None if value is None else reader(value, line.at_s)
        if found is not None:
            yield from found
        else:
            output = event(EventKind.OUTPUT, line.text, line.at_s)
            yield replace(output, cut_characters=output.cut_characters + line.cut_characters)


def _joined(events: Events, form: str) -> Events:
    """Plain lines that came together as one event, and so what Gemini CLI tells in pieces."""
    separators = {EventKind.OUTPUT: "\n"} | ({EventKind.TEXT: ""} if form == "gemini-stream-json" else {})
    held: TranscriptEvent | None = None
    texts: list[str] = []
    size = 0
    for one in events:
        size += len(one.text) + 1
        if held and held.kind == one.kind and size <= TEXT_CHARACTERS and _close(held, one):
            texts.append(one.text)
        else:
            if held:
                yield replace(held, text=separators[held.kind].join(texts))
            held, texts, size = (one, [one.text], len(one.text)) if one.kind in separators else (None, [], 0)
            if held is None:
                yield one
    if held:
        yield replace(held, text=separators[held.kind].join(texts))


def _close(first: TranscriptEvent, later: TranscriptEvent) -> bool:
    """Whether what came later may belong to what came first."""
    whole = not first.cut_characters and not later.cut_characters
    return whole and (
        first.kind is not EventKind.OUTPUT or (later.at_s or 0.0) - (first.at_s or 0.0) <= TOGETHER_S
    )


def _documents(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines, those of an indented JSON object put together into one."""
    held: list[Line] = []
    size = 0
    for line in lines:
        if not held and line.text != "{":
            yield line
            continue
        held.append(line)
        size += len(line.text)
        if line.text == "}" or size > DOCUMENT_CHARACTERS:
            yield Line(line.at_s, "\n".join(one.text for one in held))
            held, size = [], 0
    yield from held


# --- forms: each takes a line's object and its time, and says None to what it does not know -----------------


def _plain() -> Reader:
    return lambda _value, _at_s: None


def _claude() -> Reader:
    def read(value: Json, at_s: float) -> Iterable[TranscriptEvent] | None:
        kind = text(value, "type")
        if kind in ("assistant", "user"):
            message = inner(value, "message")
            return list(_claude_blocks(message, kind, at_s))
        if kind == "result":
            return [_ending(text(value, "subtype") or "ended", bool(value.get("is_error")), value, at_s)]
        if kind == "system":
            said = text(value, "subtype")
            return [] if said == "init" else [event(EventKind.NOTE, said, at_s)]
        return None

    return read


def _claude_blocks(message: Json, role: str, at_s: float) -> Events:
    content, model = message.get("content"), text(message, "model")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for block in objects(content):
        yield from anthropic_block(block, role, at_s, model)


def anthropic_block(block: Json, role: str, at_s: float | None, model: str = "") -> Events:
    """The event of one content block of Anthropic's messages, as Claude Code prints them, too."""
    kind = text(block, "type")
    if kind == "text":
        said = EventKind.TEXT if role == "assistant" else EventKind.PROMPT
        yield event(said, text(block, "text"), at_s, model=model)
    elif kind == "thinking":
        yield event(EventKind.REASONING, text(block, "thinking"), at_s, model=model)
    elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        told, call_id = flat(block.get("input")), text(block, "id")
        yield event(EventKind.TOOL_CALL, told, at_s, text(block, "name"), call_id, model=model)
    elif kind.endswith("tool_result"):
        result = flat(block.get("content"))
        failed = bool(block.get("is_error"))
        yield event(EventKind.TOOL_RESULT, result, at_s, "", text(block, "tool_use_id"), failed)


def _ending(said: str, failed: bool, value: Json, at_s: float) -> TranscriptEvent:
    why = text(value, "result") if failed else ""
    turns = f", {text(value, 'num_turns')} turns" if text(value, "num_turns") else ""
    return event(
        EventKind.NOTE, f"session ended: {said}{turns}{f': {why}' if why else ''}", at_s, "", "", failed
    )


def _codex() -> Reader:
    begun: set[str] = set()  # items whose start was told

    def read(value: Json, at_s: float) -> Iterable[TranscriptEvent] | None:
        kind = text(value, "type")
        if kind in ("item.started", "item.completed", "item.updated"):
            item = inner(value, "item")
            return list(_codex_item(item, kind, at_s, begun))
        if kind in ("turn.failed", "error"):
            why = text(inner(value, "error"), "message") or text(value, "message")
            return [event(EventKind.NOTE, f"{kind}: {why}", at_s, failed=True)]
        if kind in ("thread.started", "turn.started"):
            return []
        return [event(EventKind.NOTE, "turn completed", at_s)] if kind == "turn.completed" else None

    return read


_CODEX_SAID = {"agent_message": EventKind.TEXT, "reasoning": EventKind.REASONING}
_CODEX_TOOLS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # item type -> the tool's name, the fields of its arguments, the fields of its result
    "command_execution": ("shell", ("command",), ("aggregated_output",)),
    "file_change": ("apply_patch", ("changes",), ("status",)),
    "mcp_tool_call": ("mcp", ("server", "tool", "arguments"), ("result", "error")),
    "web_search": ("web_search", ("query",), ()),
    "todo_list": ("todo_list", ("items",), ()),
}


def _codex_item(item: Json, kind: str, at_s: float, begun: set[str]) -> Events:
    what, item_id = text(item, "type"), text(item, "id")
    if kind == "item.updated":
        return
    if what in _CODEX_SAID and kind == "item.completed":
        yield event(_CODEX_SAID[what], text(item, "text"), at_s)
    elif what == "error" and kind == "item.completed":
        yield event(EventKind.NOTE, text(item, "message"), at_s, failed=True)
    elif what in _CODEX_TOOLS:
        tool, asked, said = _CODEX_TOOLS[what]
        if item_id not in begun:
            begun.add(item_id)
            told = {name: item[name] for name in asked if name in item}
            yield event(EventKind.TOOL_CALL, json.dumps(told, ensure_ascii=False), at_s, tool, item_id)
        if kind == "item.completed":
            begun.discard(item_id)  # ids begin anew when a session is resumed
            result = "\n".join(flat(item.get(name)) for name in said if item.get(name) is not None)
            failed = item.get("exit_code") not in (0, None) or text(item, "status") == "failed"
            yield event(EventKind.TOOL_RESULT, result, at_s, tool, item_id, failed)


def _gemini() -> Reader:
    def read(value: Json, at_s: float) -> Iterable[TranscriptEvent] | None:
        kind = text(value, "type")
        if kind == "message":
            said = EventKind.TEXT if text(value, "role") == "assistant" else EventKind.PROMPT
            return [event(said, flat(value.get("content")), at_s)]
        if kind == "tool_use":
            told = flat(value.get("parameters"))
            return [event(EventKind.TOOL_CALL, told, at_s, text(value, "tool_name"), text(value, "tool_id"))]
        if kind == "tool_result":
            result = flat(value.get("output")) or text(inner(value, "error"), "message")
            failed = text(value, "status") == "error"
            return [event(EventKind.TOOL_RESULT, result, at_s, "", text(value, "tool_id"), failed)]
        if kind == "error":
            return [event(EventKind.NOTE, text(value, "message"), at_s, failed=True)]
        if kind == "result":
            failed = text(value, "status") != "success"
            why = text(inner(value, "error"), "message")
            said_last = f"session ended: {text(value, 'status')}{f': {why}' if why else ''}"
            return [event(EventKind.NOTE, said_last, at_s, failed=failed)]
        return [] if kind == "init" else None

    return read


def _opencode() -> Reader:
    def read(value: Json, at_s: float) -> Iterable[TranscriptEvent] | None:
        kind, part = text(value, "type"), inner(value, "part")
        if kind in ("text", "reasoning"):
            said = EventKind.TEXT if kind == "text" else EventKind.REASONING
            return [event(said, text(part, "text"), at_s)]
        if kind == "tool_use" and part:
            return _opencode_tool(part, at_s)
        if kind == "error":
            why = inner(value, "error")
            said_why = text(inner(why, "data"), "message") or text(why, "message") or text(why, "name")
            return [event(EventKind.NOTE, said_why, at_s, failed=True)]
        return [] if kind in ("step_start", "step_finish") else None

    return read


def _opencode_tool(part: Json, at_s: float) -> list[TranscriptEvent]:
    """A call and its result, which OpenCode tells together, at the end."""
    state, tool, call_id = inner(part, "state"), text(part, "tool"), text(part, "callID")
    clock = inner(state, "time")
    start, end = clock.get("start"), clock.get("end")
    took_s = (end - start) / 1000 if isinstance(start, int | float) and isinstance(end, int | float) else 0.0
    began_s = at_s - min(max(took_s, 0.0), at_s)
    failed = text(state, "status") == "error"
    result = text(state, "error") if failed else flat(state.get("output"))
    return [
        event(EventKind.TOOL_CALL, flat(state.get("input")), began_s, tool, call_id),
        event(EventKind.TOOL_RESULT, result, at_s, tool, call_id, failed),
    ]


def _mini_swe_agent() -> Reader:
    """A trajectory, as the program keeps it in a file; its messages have no times of their own."""

    def read(value: Json, at_s: float) -> Iterable[TranscriptEvent] | None:
        if not text(value, "trajectory_format").startswith("mini-swe-agent"):
            return None
        return _trajectory(value, at_s)

    return read


def _trajectory(value: Json, at_s: float) -> Events:
    for message in objects(value.get("messages")):
        yield from _trajectory_message(message, at_s)
    said = text(inner(value, "info"), "exit_status")
    yield event(EventKind.NOTE, f"session ended: {said}", at_s, failed=said != "Submitted")


def _trajectory_message(message: Json, at_s: float) -> Events:
    role, content = text(message, "role"), flat(message.get("content"))
    if role == "assistant":
        if content:
            yield event(EventKind.TEXT, content, at_s)
        for call in objects(message.get("tool_calls")):
            yield chat_call(call, at_s)
    elif role == "tool":
        yield event(EventKind.TOOL_RESULT, content, at_s, "", text(message, "tool_call_id"))
    elif role in ("system", "user"):
        yield event(EventKind.SYSTEM if role == "system" else EventKind.PROMPT, content, at_s)


def chat_call(call: Json, at_s: float | None, model: str = "") -> TranscriptEvent:
    """A tool call as OpenAI's chat completions word it."""
    function = inner(call, "function")
    told = flat(function.get("arguments"))
    return event(EventKind.TOOL_CALL, told, at_s, text(function, "name"), text(call, "id"), model=model)


FORMS: Mapping[str, Callable[[], Reader]] = {
    PLAIN_TEXT: _plain,
    "claude-stream-json": _claude,
    "codex-jsonl": _codex,
    "gemini-stream-json": _gemini,
    "opencode-json": _opencode,
    "mini-swe-agent": _mini_swe_agent,
}
