"""A run's ledger on disk: one entry a line, each holding the digest of the one before.

Covered: a writer killed in the middle of a line; two writers at once; edits afterwards (by `check_chain`).
Not covered: a host administrator who rewrites the whole chain and the record that names its head.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from posttrainbench.errors import BrokenLedger, InvalidFile
from posttrainbench.ledger import LedgerEntry, Scalar, next_entry
from posttrainbench.stores.codec import from_json, to_line


def utc_now() -> str:
    """The time now, UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Ledger:
    """Appends to one ledger file; safe from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._last: LedgerEntry | None = None
        self._known_bytes = 0

    def append(self, kind: str, data: Mapping[str, Scalar]) -> LedgerEntry:
        """Write one entry, durably, and return it.

        Raises:
            OSError: it could not be written (a full disk); the ledger is as it was before.
        """
        with self._lock, self.path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size != self._known_bytes:
                self._catch_up(file.fileno())
            entry = next_entry(self._last, utc_now(), kind, data)
            try:
                _write_whole(file.fileno(), to_line(entry).encode())
            except OSError:
                os.ftruncate(file.fileno(), self._known_bytes)
                raise
            self._last, self._known_bytes = entry, os.fstat(file.fileno()).st_size
            return entry

    def _catch_up(self, descriptor: int) -> None:
        """Learn what others wrote; set aside a line that a killed writer left unfinished."""
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if torn := text[len(whole) :]:
            with self.path.with_suffix(".torn").open("ab") as aside:
                aside.write(torn + b"\n")
            os.ftruncate(descriptor, len(whole))
        last_line = whole[whole[:-1].rfind(b"\n") + 1 :]
        self._last = from_json(LedgerEntry, last_line, str(self.path)) if last_line else None
        self._known_bytes = len(whole)


def _write_whole(descriptor: int, line: bytes) -> None:
    while line:  # the last bytes of a disk take a part only, and the next write fails
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def read_entries(path: Path) -> tuple[LedgerEntry, ...]:
    """Every whole entry of a ledger file, in order; none when there is no file.

    Raises:
        BrokenLedger: a line is no entry.
    """
    if not path.exists():
        return ()
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is a torn line, or nothing
    entries = []
    for number, line in enumerate(lines):
        try:
            entries.append(from_json(LedgerEntry, line))
        except InvalidFile as error:
            raise BrokenLedger(f"{path}: entry {number} cannot be read: {error}") from None
    return tuple(entries)
