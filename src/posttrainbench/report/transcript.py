"""A transcript as lines for people: each event with its time and kind, long texts cut, nothing hidden."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from posttrainbench.report.visible import visible
from posttrainbench.report.work import clock
from posttrainbench.transcript import EventKind, TranscriptEvent

LINES_SHOWN = 24  # of one event; the rest is counted
LINE_CHARACTERS = 500
WORDS = {
    EventKind.SYSTEM: "instructions",
    EventKind.PROMPT: "told",
    EventKind.REASONING: "thinks",
    EventKind.TEXT: "says",
    EventKind.TOOL_CALL: "runs",
    EventKind.TOOL_RESULT: "gets",
    EventKind.NOTE: "note",
    EventKind.OUTPUT: "prints",
}
_COMMANDS = ("command", "cmd", "script", "code")  # arguments that say all that a tool is to do


def transcript_lines(events: Iterable[TranscriptEvent]) -> Iterator[str]:
    """Every event, an empty line between two."""
    for one in events:
        yield heading(one)
        yield from (f"    {line}" for line in _shown(one))
        yield ""


def heading(one: TranscriptEvent) -> str:
    """`0:42  runs Bash`, `0:43  gets (failed)`."""
    at = "?" if one.at_s is None else clock(one.at_s)
    tool = f" {visible(one.tool, 60)}" if one.tool else ""
    return f"{at:>8}  {WORDS[one.kind]}{tool}{' (failed)' if one.failed else ''}"


def in_a_line(one: TranscriptEvent, length: int = 160) -> str:
    """What an event comes to, on one line."""
    words = " ".join(told(one)[: 4 * length].split())
    return f"{WORDS[one.kind]}{f' {visible(one.tool, 40)}' if one.tool else ''}: {visible(words, length)}"


def told(one: TranscriptEvent) -> str:
    """An event's text; of a tool call that runs a command, the command alone."""
    if one.kind is not EventKind.TOOL_CALL:
        return one.text
    try:
        arguments = json.loads(one.text)
    except (ValueError, RecursionError):
        return one.text
    if isinstance(arguments, dict):
        for name in _COMMANDS:
            command = arguments.get(name)
            if isinstance(command, list):
                command = " ".join(map(str, command))
            if isinstance(command, str):
                return command
    return one.text


def _shown(one: TranscriptEvent) -> Iterator[str]:
    lines = told(one).splitlines()
    yield from (visible(line.expandtabs(4), LINE_CHARACTERS) for line in lines[:LINES_SHOWN])
    more = max(0, len(lines) - LINES_SHOWN)
    if more or one.cut_characters:
        cut = f"{one.cut_characters} characters were not kept" if one.cut_characters else ""
        yield "... " + ", ".join(part for part in (f"{more} more lines" if more else "", cut) if part)
