"""What an agent did, event by event, in one form whichever program it was and wherever we learnt it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

TEXT_CHARACTERS = 64 * 1024  # of one event; what is longer is cut and says so


class Source(StrEnum):
    """Where a transcript was taken."""

    CALLS = "calls"  # the gateway's captured model calls: outside of the agent's reach
    STREAM = "stream"  # what the program printed inside its sandbox: the agent's word


class EventKind(StrEnum):
    """What happened."""

    SYSTEM = "system"  # instructions that the scaffold gave its model
    PROMPT = "prompt"  # what the model was told: our prompt, or a reminder by its scaffold
    REASONING = "reasoning"
    TEXT = "text"  # what the model said
    TOOL_CALL = "tool_call"  # its text is the arguments, as JSON where the program sent JSON
    TOOL_RESULT = "tool_result"
    NOTE = "note"  # what a program or the gateway says of itself: an error, the end of a session
    OUTPUT = "output"  # printed text that is none of these


@dataclass(frozen=True, slots=True)
class TranscriptEvent:
    """One thing that the agent did or was told. All of its text is of unknown origin."""

    kind: EventKind
    text: str
    at_s: float | None = None  # since the agent's start, by the host's clock; None: not known
    tool: str = ""
    call_id: str = ""  # what a tool's result shares with its call
    failed: bool = False
    model: str = ""
    cut_characters: int = 0  # left out at the end of `text`


@dataclass(frozen=True, slots=True)
class Line:
    """A line that the agent's program printed."""

    at_s: float  # when its end came
    text: str  # without the newline
    cut_characters: int = 0  # left out at its end: it was too long to hold


@dataclass(frozen=True, slots=True)
class CapturedCall:
    """One call of the agent's LLM as the gateway carried it."""

    number: int | None
    dialect: str
    model: str
    status: int | None
    error: str  # empty: it went well
    wall_s: float
    request: Mapping[str, object]  # empty when it was too large to read
    response: str


def event(
    kind: EventKind,
    text: str,
    at_s: float | None,
    tool: str = "",
    call_id: str = "",
    failed: bool = False,
    model: str = "",
) -> TranscriptEvent:
    """An event with its texts cut to size."""
    kept = text[:TEXT_CHARACTERS]
    return TranscriptEvent(
        kind, kept, at_s, tool[:200], call_id[:200], failed, model[:200], len(text) - len(kept)
    )
