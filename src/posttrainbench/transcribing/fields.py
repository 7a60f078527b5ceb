"""JSON of unknown origin, read without trusting its shape: what is not as expected is empty."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]


def parsed(text: str) -> Json | None:
    """The JSON object that a text is, or None."""
    if text.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def inner(value: Json, name: str) -> Json:
    """The object at `name`."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def text(value: Json, name: str) -> str:
    """The text at `name`; a number or a truth value as JSON."""
    found = value.get(name)
    if isinstance(found, str):
        return found
    return json.dumps(found) if isinstance(found, bool | int | float) else ""


def objects(value: object) -> Iterator[Json]:
    """The objects of a list, or the value itself where it is one."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            yield one


def flat(value: object) -> str:
    """A tool's arguments or result as one text: texts as they are, lists of texts joined, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [one.get("text") if isinstance(one, dict) else one for one in value]
        if parts and all(isinstance(part, str) for part in parts):
            return "\n".join(str(part) for part in parts)
    return json.dumps(value, ensure_ascii=False)


def json_objects(body: str) -> Iterator[Json]:
    """The JSON objects of a response: its only one, those of a list, or those of a stream of events.

    A part that was cut off is left out.
    """
    stripped = body.strip()
    if stripped[:1] in ("{", "["):
        try:
            whole = json.loads(stripped)
        except (ValueError, RecursionError):
            return
        yield from objects(whole)
        return
    for line in stripped.splitlines():
        if line.startswith("data:"):
            found = parsed(line[5:])
            if found is not None:
                yield found
