"""The texts in a folder that an agent wrote: file by file, in stretches, without trusting any of it.

Covered: plain text, JSON and JSON lines (decoded, so that escapes hide nothing), what gzip, bzip2, xz, zip
and tar hold, parquet and arrow where pyarrow is installed, and the strings in any other binary (pickles,
SQLite, weights). What stands in base64 or hexadecimal, compressed or not and in several layers, is read as a
part of the text around it (`layers.py`). Kinds are told by content, not by name. Links are not followed; a
cache's links lend their names to the files that they point at. Not covered, and counted as such: encrypted
archives, images, files that are too large, compressed strings inside other binaries. pyarrow parses hostile
bytes in this process: it is given capped files only, and any error of its is a file that was not scanned.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from posttrainbench.auditing.overlap import Document
from posttrainbench.budget import GIB, MIB
from posttrainbench.record import FileFact
from posttrainbench.stores.layers import is_text, unlayered
from posttrainbench.stores.trees import NOT_LISTED, open_regular, scan

UNPACKED_BYTES = 512 * MIB  # of what a packed file holds, no more is unpacked
TOTAL_BYTES = 8 * GIB  # of text; a file that would lead past it is not scanned
PART_BYTES = 16 * MIB  # of a long text file, for one process
STRETCH_CHARACTERS = 256 * 1024
# What a stretch repeats of the one before it: longer than a long test item, so that none falls between two.
_REPEATED_CHARACTERS = 16 * 1024
_LINE_BYTES = 1 * MIB  # longer lines are cut
_JSON_BYTES = 16 * MIB  # parsed it may take twenty times as much; larger files are read line by line
_TABLE_BYTES = 512 * MIB
_SNIFFED_BYTES = 8192
_MAX_LAYERS = 4  # of packing: a file can be made that unpacks to itself
_MAX_MEMBERS = 20_000  # of an archive
_PARQUET, _ARROW, _ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_ZIP, _TAR, _TAR_AT = (b"PK\x03\x04", b"PK\x05\x06"), b"ustar", 257
_PACKED: dict[bytes, Callable[[BinaryIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_PROBLEMS = (
    OSError, ValueError, EOFError, RuntimeError, MemoryError,
    zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_STRING_BYTES = 16  # shorter runs of characters in a binary are chance
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_PRINTABLE_MARKED = bytes(0x41 if byte in _PRINTABLE else 0 for byte in range(256))
_STRING = re.compile(rb"[\x20-\x7e\t\n\r]{%d,}" % _STRING_BYTES)


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
            yield from _stretches(source.shown, "line", _lines_of(file, source.part))
    except _PROBLEMS:
        coverage.skip(source.part.end - source.part.start, "broken or unreadable")
        return
    coverage.files += source.part.start == 0
    coverage.text_bytes += source.part.end - source.part.start - source.part.repeated


def sources(
    root: Path,
    relative: str,
    coverage: Coverage,
    left_out: Iterable[str] = (),
    total_bytes: int = TOTAL_BYTES,
) -> Iterator[Source]:
    """What is to be read below `root/relative`, in order; arguments as those of `documents`.

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
            start = file.read(_SNIFFED_BYTES)
            if not _is_plain(start) or source.size_bytes <= _JSON_BYTES:
                yield source
                return
            file.seek(0)
            parts = list(_parts(file))  # a few numbers for every part
    except OSError:
        yield source
        return
    yield from (replace(source, part=part) for part in parts)


def _is_plain(start: bytes) -> bool:
    """Whether a file that begins so is read line by line, by nothing but its lines."""
    tables = (_PARQUET, _ARROW, _ARROW_STREAM)
    packed = start.startswith((*_PACKED, *_ZIP, *tables)) or start[_TAR_AT:].startswith(_TAR)
    return not packed and is_text(start)


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
        back = chunk.find(b"\n", max(0, cut - _REPEATED_CHARACTERS)) + 1
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


def _lines_of(file: BinaryIO, part: Part) -> Iterator[tuple[int, str]]:
    file.seek(part.start)
    left = part.end - part.start
    for number, text, size in _sized_lines(file, part.line):
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
            reason = yield from _texts(file, shown, size_bytes, cap_bytes)
    except _PROBLEMS:
        reason = "broken or unreadable"
    if reason:
        coverage.skip(size_bytes, reason)
    else:
        coverage.files += 1
        coverage.text_bytes += size_bytes


def transcript_documents(root: Path, relative: str, coverage: Coverage) -> Iterator[Document]:
    """The texts of a transcript of ours: lines {"at_s", "text"}, cut wherever the agent's output was."""
    with open_regular(root, relative) as file:
        yield from _stretches(relative, "line", _whole_lines(file, coverage))
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
        if len(rest) > _LINE_BYTES:
            yield number, rest
            rest = ""
    if rest:
        yield number, rest


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


# --- kinds of files: each yields documents and returns why it could not, or "" ------------------------------

_Texts = Generator[Document, None, str]


def _texts(file: BinaryIO, path: str, size_bytes: int, cap_bytes: int, layer: int = 0) -> _Texts:
    start = file.read(_SNIFFED_BYTES)
    file.seek(0)
    for magic, opened in _PACKED.items():
        if start.startswith(magic):
            return (yield from _unpacked(opened(file).read(cap_bytes + 1), path, cap_bytes, layer))
    if start.startswith(_ZIP):
        return (yield from _archived(_zip_members(file), path, cap_bytes, layer))
    if start[_TAR_AT:].startswith(_TAR):
        return (yield from _archived(_tar_members(file), path, cap_bytes, layer))
    if start.startswith((_PARQUET, _ARROW, _ARROW_STREAM)):
        return (yield from _table(file, path, size_bytes, start))
    if not is_text(start):
        return (yield from _binary(file, path))
    may_be_json = size_bytes <= _JSON_BYTES and start.lstrip()[:1] in (b"{", b"[", b'"')
    parsed = _parsed(file.read(_JSON_BYTES)) if may_be_json else None
    file.seek(0)
    if parsed is None:
        yield from _stretches(path, "line", _lines(file))
    else:
        yield from _stretches(path, "entry", _entries(parsed))
    return ""


def _unpacked(content: bytes, path: str, cap_bytes: int, layer: int) -> _Texts:
    if layer == _MAX_LAYERS:
        return "packed too often"
    if len(content) > cap_bytes:
        return "too large when unpacked"
    return (yield from _texts(io.BytesIO(content), path, len(content), cap_bytes, layer + 1))


def _archived(members: Iterable[tuple[str, IO[bytes]]], path: str, cap_bytes: int, layer: int) -> _Texts:
    """The texts of an archive's members, which may be `cap_bytes` large together."""
    left, reasons = cap_bytes, Counter[str]()
    for number, (name, member) in enumerate(members):
        if number == _MAX_MEMBERS:
            return "an archive of too many members"
        content = member.read(left + 1)
        reasons[(yield from _unpacked(content, f"{path}!{name}", left, layer))] += 1
        left = max(0, left - len(content))
    return next((reason for reason, _ in reasons.most_common() if reason), "")


def _zip_members(file: BinaryIO) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, archive.open(info)


def _tar_members(file: BinaryIO) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            member = archive.extractfile(info) if info.isreg() else None
            if member is not None:
                yield info.name, member


def _binary(file: BinaryIO, path: str) -> _Texts:
    """The strings that stand in a binary; it counts as not scanned all the same."""
    strings = _stretches(path, "megabyte", _strings_within(file))
    first = next(strings, None)
    if first is None:
        return "binary"
    yield first
    yield from strings
    return "binary, but for the strings in it"


def _strings_within(file: BinaryIO) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := file.read(MIB):
        number += 1
        if b"\0" in raw:
            raw = raw.replace(b"\0", b"")  # wide characters become narrow ones
        if b"A" * _STRING_BYTES in raw.translate(_PRINTABLE_MARKED):
            yield number, "\n".join(run.decode("ascii") for run in _STRING.findall(raw))


def _parsed(content: bytes) -> object:
    """The whole file as one JSON value, or None when it is none (JSON lines, say)."""
    try:
        parsed: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return parsed


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    return ((number, text) for number, text, _ in _sized_lines(file, 1))


def _sized_lines(file: BinaryIO, first: int) -> Iterator[tuple[int, str, int]]:
    """Number, text and bytes of each line from here on; a long one is cut and keeps its number."""
    number = first
    while raw := file.readline(_LINE_BYTES):
        text = raw.decode("utf-8", "replace")
        yield number, _decoded(text) if text[:1] in ("{", "[", '"') else text, len(raw)
        number += raw.endswith(b"\n")


def _decoded(line: str) -> str:
    """A line of JSON as its strings; any other line as it is."""
    try:
        return "\n".join(_strings(json.loads(line)))
    except (ValueError, RecursionError):
        return line


def _entries(parsed: object) -> Iterator[tuple[int, str]]:
    parts = parsed if isinstance(parsed, list) else [parsed]
    for number, part in enumerate(parts, 1):
        yield number, "\n".join(_strings(part))


def _strings(value: object) -> Iterator[str]:
    """Every string of a parsed JSON value, and numbers as text, in order; keys too, they may hold data."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            yield top
        elif isinstance(top, dict):
            stack += [part for key, inner in reversed(top.items()) for part in (inner, key)]
        elif isinstance(top, list | tuple):
            stack += reversed(top)
        elif isinstance(top, int | float) and not isinstance(top, bool):
            yield str(top)


def _table(file: BinaryIO, path: str, size_bytes: int, start: bytes) -> _Texts:
    try:
        import pyarrow as arrow  # type: ignore[import-untyped]
        from pyarrow import ipc, parquet
    except ImportError:
        return "tables, and pyarrow is not installed"
    if size_bytes > _TABLE_BYTES:
        return "too large"
    try:
        if start.startswith(_PARQUET):
            batches = parquet.ParquetFile(file).iter_batches(1024)
        else:
            batches = _arrow_batches(ipc, file, start.startswith(_ARROW))
        yield from _stretches(path, "row", _rows(batches))
    except arrow.ArrowException:
        return "broken or unreadable"
    return ""


def _arrow_batches(ipc: Any, file: BinaryIO, is_file: bool) -> Iterator[Any]:
    if not is_file:  # a stream: what `datasets` keeps in its cache
        yield from ipc.open_stream(file)
        return
    reader = ipc.open_file(file)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _rows(batches: Iterable[Any]) -> Iterator[tuple[int, str]]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, "\n".join(_strings(row))


def _stretches(path: str, unit: str, pieces: Iterable[tuple[int, str]]) -> Iterator[Document]:
    """Documents of about `STRETCH_CHARACTERS` each, which overlap."""
    held: list[tuple[int, str]] = []
    size = repeated = 0
    for number, text in unlayered(pieces):
        for start in range(0, len(text), STRETCH_CHARACTERS):
            part = text[start : start + STRETCH_CHARACTERS]
            held.append((number, part))
            size += len(part)
            if size >= STRETCH_CHARACTERS:
                yield Document(path, unit, tuple(held))
                held = _tail(held)
                size = repeated = sum(len(kept) for _, kept in held)
    if size > repeated:
        yield Document(path, unit, tuple(held))


def _tail(pieces: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """The last pieces, `_REPEATED_CHARACTERS` of them."""
    kept: list[tuple[int, str]] = []
    left = _REPEATED_CHARACTERS
    for number, text in reversed(pieces):
        if left <= 0:
            break
        kept.append((number, text[-left:]))
        left -= len(text)
    return kept[::-1]
