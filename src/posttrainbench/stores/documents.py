"""The texts in a folder that an agent wrote: file by file, in stretches, without trusting any of it.

Which files there are is told by `sources.py`, what their texts are by `formats.py`. Here they are put
together, for a scan and, by a find's place, for whoever wants to see what was found. Not covered, and counted
as such: what is too large, encrypted or an image, and any file whose reading failed.
"""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from posttrainbench.auditing.search import Document
from posttrainbench.budget import MIB
from posttrainbench.stores.formats import LINE_BYTES, PROBLEMS, sized_lines, stretches, texts
from posttrainbench.stores.sources import TOTAL_BYTES, Coverage, Part, Source, sources
from posttrainbench.stores.trees import open_regular

UNPACKED_BYTES = 512 * MIB  # of what a packed file holds, no more is unpacked


def documents(
    root: Path,
    relative: str,
    coverage: Coverage,
    left_out: Iterable[str] = (),
    unpacked_bytes: int = UNPACKED_BYTES,
    total_bytes: int = TOTAL_BYTES,
) -> Iterator[Document]:
    """The texts below `root/relative`, paths from `root`; `coverage` is filled on the way.

    Args:
        left_out: paths from `root` that need no reading, since we put them there ourselves.
        unpacked_bytes: of what a packed file holds, no more is unpacked.
        total_bytes: a file that would lead past so many bytes is not scanned.
    """
    for source in sources(root, relative, coverage, left_out, total_bytes):
        yield from source_documents(root, source, coverage, unpacked_bytes)


def source_documents(
    root: Path, source: Source, coverage: Coverage, unpacked_bytes: int = UNPACKED_BYTES
) -> Iterator[Document]:
    """The texts of one source."""
    if source.part is None:
        yield from file_documents(
            root, source.path, source.shown, source.size_bytes, coverage, unpacked_bytes
        )
        return
    try:
        with open_regular(root, source.path) as file:
            yield from stretches(source.shown, "line", _lines_of(file, source.part))
    except PROBLEMS:
        coverage.skip(source.part.end - source.part.start, "broken or unreadable")
        return
    coverage.files += source.part.start == 0
    coverage.text_bytes += source.part.end - source.part.start - source.part.repeated


def _lines_of(file: BinaryIO, part: Part) -> Iterator[tuple[int, str]]:
    file.seek(part.start)
    left = part.end - part.start
    for number, text, size in sized_lines(file, part.line):
        yield number, text
        left -= size
        if left <= 0:
            return


def file_documents(
    root: Path, relative: str, shown: str, size_bytes: int, coverage: Coverage, cap_bytes: int
) -> Iterator[Document]:
    """The texts of one file, which the documents will call `shown`."""
    try:
        with open_regular(root, relative) as file:
            reason = yield from texts(file, shown, size_bytes, cap_bytes)
    except PROBLEMS:
        reason = "broken or unreadable"
    if reason:
        coverage.skip(size_bytes, reason)
    else:
        coverage.files += 1
        coverage.text_bytes += size_bytes


def transcript_documents(root: Path, relative: str, coverage: Coverage) -> Iterator[Document]:
    """The texts of a transcript of ours: lines {"at_s", "text"}, cut wherever the agent's output was."""
    with open_regular(root, relative) as file:
        yield from stretches(relative, "line", _whole_lines(file, coverage))
    coverage.files += 1


def texts_at(root: Path, source: str, locator: str, cap_bytes: int = 512 * MIB) -> Iterator[str]:
    """The texts that a find's locator ("line 12") means in the file that `documents` called `source`.

    None come when the file is gone or reads otherwise by now.
    """
    shown = source
    while (size_bytes := _size_of(root, path := _behind(root, shown))) is None:
        shown, member, _ = shown.rpartition("!")  # members of archives are documents of their own
        if not member:
            return
    for document in file_documents(root, path, shown, size_bytes, Coverage(), cap_bytes):
        for number, text in document.pieces:
            if (document.path, f"{document.unit} {number}") == (source, locator):
                yield text


def transcript_texts_at(root: Path, source: str, locator: str) -> Iterator[str]:
    """As `texts_at`, for what `transcript_documents` read."""
    for document in transcript_documents(root, source, Coverage()):
        yield from (text for number, text in document.pieces if f"{document.unit} {number}" == locator)


def _behind(root: Path, path: str) -> str:
    """What a link points at, when that is relative; any other path as it is."""
    link = root / path
    if not link.is_symlink():
        return path
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link.readlink().as_posix()))


def _size_of(root: Path, path: str) -> int | None:
    """None when no regular file is there, or a link lies on the way."""
    try:
        with open_regular(root, path) as file:
            return file.seek(0, io.SEEK_END)
    except OSError:
        return None


def _whole_lines(file: BinaryIO, coverage: Coverage) -> Iterator[tuple[int, str]]:
    """The agent's output with its own lines put together again, numbered by the transcript's lines."""
    rest, number = "", 0
    for number, raw in enumerate(file, 1):
        coverage.text_bytes += len(raw)
        whole, newline, last = (rest + str(json.loads(raw)["text"])).rpartition("\n")
        if newline:
            yield number, whole
        rest = last
        if len(rest) > LINE_BYTES:
            yield number, rest
            rest = ""
    if rest:
        yield number, rest
