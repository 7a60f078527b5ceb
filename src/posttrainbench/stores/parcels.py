"""A run that somebody sends as one file, unpacked where it can do no harm.

Covered: names that lead out of the folder, links, devices, members that hold more than they say, more members
or bytes than a run has; only folders and regular files are written, with rights of ours.
Not covered: links that an agent left are not unpacked (a record does not vouch for them either).
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from posttrainbench.budget import GIB, MIB
from posttrainbench.errors import InvalidFile

_BROKEN = (
    OSError, ValueError, EOFError, RuntimeError, zlib.error, LZMAError, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a parcel may hold."""

    members: int = 2_000_000
    total_bytes: int = 256 * GIB


@contextmanager
def unpacked(parcel: Path, caps: Caps | None = None) -> Iterator[Path]:
    """A folder with what a tar (compressed or not) or zip file holds, links left out; removed afterwards.

    Raises:
        InvalidFile: it is neither, is broken, or holds what no run holds; the text says what.
    """
    with tempfile.TemporaryDirectory(prefix="ptb-verify-") as folder:
        into = Path(folder)
        room = _Room(caps or Caps(), into)
        try:
            for name, content in _members(parcel):
                room.write(name, content)
        except InvalidFile:
            raise
        except _BROKEN as problem:
            raise InvalidFile(
                f"{parcel} cannot be unpacked: {' '.join(str(problem).split())[:200]}"
            ) from None
        yield into


def _members(parcel: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names and contents; a folder has none."""
    if zipfile.is_zipfile(parcel):
        with zipfile.ZipFile(parcel) as archive:
            for info in archive.infolist():
                if (
                    not info.is_dir() and (info.external_attr >> 28) != 0xA
                ):  # a link, as unix archivers write it
                    with archive.open(info) as content:
                        yield info.filename, content
        return
    with tarfile.open(parcel, "r:*") as archive:
        while member := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # or a million would stay in memory
            regular = archive.extractfile(member) if member.isreg() else None
            if regular is not None or member.isdir():
                yield member.name, regular


class _Room:
    """Where a parcel is unpacked, and how much may still come."""

    def __init__(self, caps: Caps, into: Path) -> None:
        self._caps, self._into = caps, into
        self._members = 0
        self._left = min(caps.total_bytes, shutil.disk_usage(into).free - GIB)

    def write(self, name: str, content: IO[bytes] | None) -> None:
        """Put one member where its name says, or refuse the parcel."""
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise InvalidFile(f"refused: a member's name leads out of the folder: {name[:100]!a}")
        self._members += 1
        if self._members > self._caps.members:
            raise InvalidFile(f"refused: more than {self._caps.members} members")
        path = self._into.joinpath(*parts)
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is None:
            return
        with path.open("xb") as file:  # a name that comes twice is refused
            while chunk := content.read(MIB):
                self._left -= len(chunk)
                if self._left < 0:
                    raise InvalidFile("refused: it unpacks to more than a run may hold, or than the disk has")
                file.write(chunk)
