"""The texts in a file, whatever kind of file it is, in stretches, without trusting any of it.

Covered: plain text, JSON and JSON lines (decoded, so that escapes hide nothing), what gzip, bzip2, xz, zip
and tar hold, parquet and arrow where pyarrow is installed, and the strings in any other binary (pickles,
SQLite, weights). What stands in base64 or hexadecimal, compressed or not and in several layers, is read as a
part of the text around it (`layers.py`). Kinds are told by content, not by name. Not covered: encrypted
archives, images, compressed strings inside other binaries. pyarrow parses hostile bytes in this process: it
is given capped files only, and any error of its is a file that was not scanned.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import IO, Any, BinaryIO

from posttrainbench.auditing.search import Document
from posttrainbench.budget import MIB
from posttrainbench.stores.layers import is_text, unlayered

STRETCH_CHARACTERS = 256 * 1024
# What a stretch repeats of the one before it: longer than a long test item, so that none falls between two.
REPEATED_CHARACTERS = 16 * 1024
LINE_BYTES = 1 * MIB  # longer lines are cut
JSON_BYTES = 16 * MIB  # parsed it may take twenty times as much; larger files are read line by line
SNIFFED_BYTES = 8192
_TABLE_BYTES = 512 * MIB
_MAX_LAYERS = 4  # of packing: a file can be made that unpacks to itself
_MAX_MEMBERS = 20_000  # of an archive
_PARQUET, _ARROW, _ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_ZIP, _TAR, _TAR_AT = (b"PK\x03\x04", b"PK\x05\x06"), b"ustar", 257
_PACKED: dict[bytes, Callable[[BinaryIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
PROBLEMS = (
    OSError, ValueError, EOFError, RuntimeError, MemoryError,
    zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_STRING_BYTES = 16  # shorter runs of characters in a binary are chance
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_PRINTABLE_MARKED = bytes(0x41 if byte in _PRINTABLE else 0 for byte in range(256))
_STRING = re.compile(rb"[\x20-\x7e\t\n\r]{%d,}" % _STRING_BYTES)


# Each yields documents and returns why it could not, or "".
_Texts = Generator[Document, None, str]


def is_plain(start: bytes) -> bool:
    """Whether a file that begins so is read line by line, by nothing but its lines."""
    tables = (_PARQUET, _ARROW, _ARROW_STREAM)
    packed = start.startswith((*_PACKED, *_ZIP, *tables)) or start[_TAR_AT:].startswith(_TAR)
    return not packed and is_text(start)


def texts(file: BinaryIO, path: str, size_bytes: int, cap_bytes: int, layer: int = 0) -> _Texts:
    """The texts of a file, as documents of that path; returned is why it could not be scanned, or ""."""
    start = file.read(SNIFFED_BYTES)
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
    may_be_json = size_bytes <= JSON_BYTES and start.lstrip()[:1] in (b"{", b"[", b'"')
    parsed = _parsed(file.read(JSON_BYTES)) if may_be_json else None
    file.seek(0)
    if parsed is None:
        yield from stretches(path, "line", _lines(file))
    else:
        yield from stretches(path, "entry", _entries(parsed))
    return ""


def _unpacked(content: bytes, path: str, cap_bytes: int, layer: int) -> _Texts:
    if layer == _MAX_LAYERS:
        return "packed too often"
    if len(content) > cap_bytes:
        return "too large when unpacked"
    return (yield from texts(io.BytesIO(content), path, len(content), cap_bytes, layer + 1))


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
    strings = stretches(path, "megabyte", _strings_within(file))
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
            raw = raw.translate(None, b"\0")  # wide characters become narrow ones
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
    return ((number, text) for number, text, _ in sized_lines(file, 1))


def sized_lines(file: BinaryIO, first: int) -> Iterator[tuple[int, str, int]]:
    """Number, text and bytes of each line from here on; a long one is cut and keeps its number."""
    number = first
    while raw := file.readline(LINE_BYTES):
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
            for key, inner in reversed(top.items()):
                stack += (inner, key)
        elif isinstance(top, (list, tuple)):
            stack += reversed(top)
        elif isinstance(top, (int, float)) and not isinstance(top, bool):
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
        yield from stretches(path, "row", _rows(batches))
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


def stretches(path: str, unit: str, pieces: Iterable[tuple[int, str]]) -> Iterator[Document]:
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
    """The last pieces, `REPEATED_CHARACTERS` of them."""
    kept: list[tuple[int, str]] = []
    left = REPEATED_CHARACTERS
    for number, text in reversed(pieces):
        if left <= 0:
            break
        kept.append((number, text[-left:]))
        left -= len(text)
    return kept[::-1]
