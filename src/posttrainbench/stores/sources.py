"""What there is to read in a folder that an agent wrote: files, long texts in parts; and how much was read.

Links are not followed; a cache's links lend their names to the files that they point at. What is too large,
and what is no regular file, is counted as not scanned.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from posttrainbench.budget import GIB, MIB
from posttrainbench.record import FileFact
from posttrainbench.stores.formats import JSON_BYTES, REPEATED_CHARACTERS, SNIFFED_BYTES, is_plain
from posttrainbench.stores.trees import NOT_LISTED, open_regular, scan

TOTAL_BYTES = 8 * GIB  # of text; a file that would lead past it is not scanned
PART_BYTES = 16 * MIB  # of a long text file, for one process


@dataclass(slots=True)
class Coverage:
    """What was read as text so far, and what was not, with reasons."""

    files: int = 0
    text_bytes: int = 0
    skipped_files: int = 0
    skipped_bytes: int = 0
    unlisted: bool = False  # there were more entries than are ever listed
    reasons: Counter[str] = field(default_factory=Counter)

    def skip(self, size_bytes: int, reason: str) -> None:
        self.skipped_files += 1
        self.skipped_bytes += size_bytes
        self.reasons[reason] += 1

    def add(self, more: Coverage) -> None:
        """Count what `more` counted too."""
        self.files += more.files
        self.text_bytes += more.text_bytes
        self.skipped_files += more.skipped_files
        self.skipped_bytes += more.skipped_bytes
        self.unlisted |= more.unlisted
        self.reasons.update(more.reasons)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common(5))
        why = f" ({kinds})" if kinds else ""
        return (
            f"scanned {self.files} files, {self.text_bytes} bytes; "
            f"not scanned: {self.skipped_files} files, {self.skipped_bytes} bytes{why}"
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a long text file, from the beginning of a line to the end of one."""

    start: int  # bytes
    end: int
    line: int  # number of the first line
    repeated: int  # bytes at its beginning that belong to the part before


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, or a part of one, so that several processes can share a long one."""

    path: str  # from the root
    shown: str  # as documents call it
    size_bytes: int
    part: Part | None = None


def sources(
    root: Path,
    relative: str,
    coverage: Coverage,
    left_out: Iterable[str] = (),
    total_bytes: int = TOTAL_BYTES,
) -> Iterator[Source]:
    """What is to be read below `root/relative`, in order; arguments as those of `documents.documents`.

    `coverage` is told what will not be read.
    """
    ours = frozenset(left_out)
    left = total_bytes
    # Two walks rather than one list: a million files must not fill our memory.
    names = _names_lent_by_links(scan(root, relative, digests=False))
    for fact in scan(root, relative, digests=False):
        path = f"{relative}/{fact.path}"
        if fact.kind == "link" or path in ours:
            continue
        if fact.kind == "other":
            coverage.skip(0, "no regular file")
            coverage.unlisted |= fact.note.endswith(NOT_LISTED)
        elif fact.size_bytes > left:
            coverage.skip(fact.size_bytes, "too large")
        elif fact.size_bytes:
            whole = Source(path, f"{relative}/{names.get(fact.path, fact.path)}", fact.size_bytes)
            for source in _parted(root, whole) if fact.size_bytes > PART_BYTES else (whole,):
                # Long binaries are no text, and weights must not use up what there is for texts.
                counts = source.part is not None or fact.size_bytes <= PART_BYTES
                left -= size_of(source) if counts else 0
                yield source


def size_of(source: Source) -> int:
    """The bytes that are read of it."""
    return source.part.end - source.part.start if source.part else source.size_bytes


def _parted(root: Path, source: Source) -> Iterator[Source]:
    """A long text file in parts, anything else as it is."""
    try:
        with open_regular(root, source.path) as file:
            start = file.read(SNIFFED_BYTES)
            if not is_plain(start) or source.size_bytes <= JSON_BYTES:
                yield source
                return
            file.seek(0)
            parts = list(_parts(file))  # a few numbers for every part
    except OSError:
        yield source
        return
    yield from (replace(source, part=part) for part in parts)


def _parts(file: BinaryIO) -> Iterator[Part]:
    """Parts of at least `PART_BYTES`, but for the last; each repeats the last lines of the one before."""
    start = read = 0
    line, repeated = 1, 0
    while chunk := file.read(PART_BYTES):
        read += len(chunk)
        cut = chunk.rfind(b"\n") + 1
        if not cut:  # a line without end
            continue
        end = read - len(chunk) + cut
        yield Part(start, end, line, repeated)
        # What the next part repeats begins with a line, too.
        back = chunk.find(b"\n", max(0, cut - REPEATED_CHARACTERS)) + 1
        repeated = cut - back
        line += _newlines(file, start, end - repeated)
        start = end - repeated
        file.seek(read)
    if read > start + repeated:
        yield Part(start, read, line, repeated)


def _newlines(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    count = 0
    while start < end and (chunk := file.read(min(MIB, end - start))):
        count += chunk.count(b"\n")
        start += len(chunk)
    return count


def _names_lent_by_links(facts: Iterable[FileFact]) -> dict[str, str]:
    """File -> the name of the first link to it: `blobs/0a1b...` says less than `snapshots/.../test.jsonl`."""
    names: dict[str, str] = {}
    for fact in facts:
        if fact.kind == "link":
            target = fact.note.removeprefix("symbolic link to ")
            names.setdefault(
                posixpath.normpath(posixpath.join(posixpath.dirname(fact.path), target)), fact.path
            )
    return names
