"""Nouns to JSON and back; what comes back is checked field by field."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from posttrainbench.errors import InvalidFile

Noun = TypeVar("Noun")


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # building one costs milliseconds


def _adapter(noun: type) -> TypeAdapter[Any]:
    if noun not in _ADAPTERS:
        _ADAPTERS[noun] = TypeAdapter(noun)
    return _ADAPTERS[noun]


def to_json(noun: object) -> str:
    """One record as JSON, indented for people, newline at the end."""
    return _adapter(type(noun)).dump_json(noun, indent=2).decode() + "\n"


def to_line(noun: object) -> str:
    """One record as a single line of JSON, newline at the end."""
    return _adapter(type(noun)).dump_json(noun).decode() + "\n"


def from_json(noun: type[Noun], text: str | bytes, where: str = "the text") -> Noun:
    """The record that a JSON text holds.

    Raises:
        InvalidFile: not JSON, or a field is missing or of the wrong type; `where` names the file.
    """
    try:
        value: Noun = _adapter(noun).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InvalidFile(f"{where} is no valid {noun.__name__}: {place}: {first['msg']}") from None
    return value
