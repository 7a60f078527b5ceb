"""Who vouches for a document of ours: a signature, and what exactly it covers."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from posttrainbench.digest import canonical_json

FIELD = "signature"  # of a document, and the one field that a signature does not cover


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature, with the key that it can be checked by; both base64."""

    public_key: str
    value: str
    kind: Literal["ed25519"] = "ed25519"

    @property
    def fingerprint(self) -> str:
        return fingerprint(base64.b64decode(self.public_key))


@dataclass(frozen=True, slots=True)
class Dispute:
    """What somebody holds against a verdict; it stands beside the record and changes nothing in it."""

    text: str
    run_id: str
    record: int  # number of the record that is disputed
    record_sha256: str  # of what its signature covers
    at_utc: str
    signature: Signature | None = None


class Signed(StrEnum):
    """What a signature comes to for whoever checks it."""

    HERE = "signed by this installation"
    TRUSTED = "signed by a key that you trust"
    UNKNOWN = "signed by a key that is unknown here"
    NOT = "not signed"
    BROKEN = "the signature does not fit"


def fingerprint(public_key: bytes) -> str:
    """64 hex digits that name a public key (32 bytes); people compare the first 16."""
    return hashlib.sha256(public_key).hexdigest()


def covered(document: str | bytes, what: str) -> bytes:
    """The bytes of a JSON document that its signature covers: all of its content, whatever the formatting.

    Args:
        what: the kind of document, so that a signature of one kind never passes for another's.

    Raises:
        ValueError: no JSON object.
    """
    fields = json.loads(document)
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    fields.pop(FIELD, None)
    return f"posttrainbench {what} 1\n{canonical_json(fields)}".encode("utf-8", "surrogatepass")
