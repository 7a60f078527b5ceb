"""Content digests: equal content, equal digest, whatever the formatting."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no blanks: the form whose bytes are hashed.

    Raises:
        ValueError: a NaN or an infinity, which JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """The sha256 of a text's UTF-8 bytes, 64 hex digits; lone surrogates are hashed as they came."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_digest(noun: DataclassInstance | Mapping[str, object]) -> str:
    """The sha256 of a frozen record's content, 64 hex digits.

    Fields at their default are no content: a field that a later version adds leaves digests that
    earlier ones wrote as they were. So a default, once published, never changes its value.
    """
    return sha256_text(canonical_json(_content(noun)))


def _content(value: object) -> object:
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: (getattr(value, field.name), _default(field)) for field in dataclasses.fields(value)
        }
        return {name: _content(held) for name, (held, default) in fields.items() if held != default}
    if isinstance(value, Mapping):
        return {name: _content(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_content(held) for held in value]
    return value


def _default(field: dataclasses.Field[object]) -> object:
    """A field's default; MISSING, which equals no value, when it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
