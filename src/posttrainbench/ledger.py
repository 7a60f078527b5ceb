"""What happened in a run, in order: entries that each hold the digest of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from posttrainbench.digest import content_digest
from posttrainbench.errors import BrokenLedger

Scalar = str | int | float | bool | None
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event. `digest` covers every other field, `previous` included."""

    index: int
    at_utc: str
    kind: str  # "stage", "signal", "request", "evaluation", "canary", "limit", ...
    data: Mapping[str, Scalar]
    previous: str
    digest: str


def next_entry(last: LedgerEntry | None, at_utc: str, kind: str, data: Mapping[str, Scalar]) -> LedgerEntry:
    """The entry that follows `last` (None: the first)."""
    index = last.index + 1 if last else 0
    previous = last.digest if last else GENESIS
    return LedgerEntry(index, at_utc, kind, data, previous, _digest(index, at_utc, kind, data, previous))


def check_chain(entries: tuple[LedgerEntry, ...]) -> str:
    """The head digest of an unbroken chain (GENESIS when there are no entries).

    Raises:
        BrokenLedger: an entry was changed, removed, reordered or put in; the text names the first bad one.
    """
    previous = GENESIS
    for position, entry in enumerate(entries):
        if entry.index != position or entry.previous != previous:
            raise BrokenLedger(f"ledger entry {position} does not follow the one before it")
        if entry.digest != _digest(entry.index, entry.at_utc, entry.kind, entry.data, entry.previous):
            raise BrokenLedger(f"ledger entry {position} was changed after it was written")
        previous = entry.digest
    return previous


def _digest(index: int, at_utc: str, kind: str, data: Mapping[str, Scalar], previous: str) -> str:
    return content_digest(
        {"index": index, "at_utc": at_utc, "kind": kind, "data": dict(data), "previous": previous}
    )
