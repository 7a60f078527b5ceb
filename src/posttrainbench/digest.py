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
    """The sha256 of a frozen record's content, 64 hex digits."""
    value = noun if isinstance(noun, Mapping) else dataclasses.asdict(noun)
    return sha256_text(canonical_json(value))
