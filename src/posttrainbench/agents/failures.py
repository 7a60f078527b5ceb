"""How scaffolds say that they failed: an event of their stream, an exit status.

All of it is the program's own word, from inside the sandbox: good for a reason on record, proof of nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

REASON_CHARACTERS = 300
LAST_LINES = 3  # what a program for people prints is wrapped


class FailureReport(BaseModel):
    """What marks a failure in a stream of JSON lines: an event with these values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: Mapping[str, str | bool]  # dotted path within a line -> value
    reason: str  # dotted path of what that event says of the reason

    def read(self, line: str) -> str | None:
        """The reason that a line gives, None when it tells of no failure."""
        found = _event(line)
        if found is None or any(_at(found, path) != value for path, value in self.event.items()):
            return None
        told = _at(found, self.reason)
        return told if isinstance(told, str) else json.dumps(told)


def told_failure(
    reports: Iterable[FailureReport], statuses: Mapping[str, str], exit_code: int | None, output: str
) -> str | None:
    """Why a program failed, by the end of its `output` and its exit status; None when it did not.

    With status 0 only its last line is heard: what went wrong before, it got over.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    heard = lines[-1:] if exit_code == 0 else lines
    for line in reversed(heard):
        for report in reports:
            if (reason := report.read(line)) is not None:
                return _short(reason)
    if exit_code in (0, None):
        return None
    meaning = statuses.get(str(exit_code))
    said = _short("\n".join(lines[-LAST_LINES:])) or "nothing"
    return meaning or f"its last words: {said}"


def _event(line: str) -> object:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _at(value: object, path: str) -> object:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _short(text: str) -> str:
    """One line of at most REASON_CHARACTERS, without control characters."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= REASON_CHARACTERS else f"{plain[:REASON_CHARACTERS]} [...]"
