"""What stands encoded within a text: base64 or hexadecimal, compressed or not, one in another.

Covered: runs of 32 characters and more, also when wrapped over lines or preceded by other characters of the
alphabet. Not covered: other alphabets and ciphers, strings cut into short parts.
"""

from __future__ import annotations

import binascii
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from posttrainbench.budget import MIB

_RUN_CHARACTERS = 32
_LAYERS = 4
_HELD_CHARACTERS = 16 * MIB  # of lines that go on
_UNPACKED_BYTES = 16 * MIB
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_MARKED = bytes(0x41 if byte in _LETTERS else 0x20 for byte in range(256))
_LONG = b"A" * _RUN_CHARACTERS
_RUN = re.compile(r"(?:[A-Za-z0-9+/_-]{32,}+\s{0,2}+)++[A-Za-z0-9+/_-]*+={0,2}")
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_FEWEST_LETTERS = 6  # different ones; hexadecimal digits of a short text
_CUT_BYTES = 3  # of a character
_REPLACED = "\ufffd".encode()
_SAMPLE = 128  # characters that tell whether a run holds a text


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


_PACKED: dict[bytes, Callable[[], _Unpacker]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"x\x01": zlib.decompressobj,
    b"x\x9c": zlib.decompressobj,
    b"x\xda": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
}
# How a run of base64 begins that holds packed data.
_PACKED_RUNS = re.compile(b"|".join((b"H4sI", b"eA[EF]", b"eJ[wxyz]", b"eN[opqr]", b"Qlpo", b"/Td6")))


def unlayered(pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The pieces (number, text) of a text, and after each what stands encoded in it."""
    held: list[str] = []
    first = size = 0
    for number, text in pieces:
        yield number, text
        marked = _marked(text)
        has_run = _LONG in marked
        line = text.strip() if has_run or held else ""
        goes_on = _RUN.fullmatch(line) is not None if has_run else line.isalnum()
        inner = _decoded(text, marked, 0) if has_run and not goes_on else ()
        if goes_on:
            first = first if held else number
            held.append(line)
            size += len(text)
        if held and (not goes_on or size > _HELD_CHARACTERS):
            yield from ((first, inside) for inside in decoded("\n".join(held)))
            held, size = [], 0
        yield from ((number, inside) for inside in inner)
    if held:
        yield from ((first, inside) for inside in decoded("\n".join(held)))


def decoded(text: str) -> Iterator[str]:
    """The texts that stand encoded in a text, with those that stand encoded in them."""
    return _decoded(text, _marked(text), 0)


def _decoded(text: str, marked: bytes, layer: int) -> Iterator[str]:
    for run in _runs(text, marked):
        content = _content(run)
        if content is not None:
            inside = content.decode("utf-8", "replace")
            yield inside
            if layer + 1 < _LAYERS:
                yield from _decoded(inside, _marked(inside), layer + 1)


def _runs(text: str, marked: bytes) -> Iterator[str]:
    """The long runs of the alphabet in a text, without the blanks that wrap them; rulers are none."""
    end = 0
    while (start := marked.find(_LONG, end)) >= 0:
        end = marked.find(b" ", start)
        end = end if end >= 0 else len(text)
        wrapped = _RUN.match(text, start) if text[end : end + 1].isspace() else None
        end = wrapped.end() if wrapped else end
        if len(set(text[start : start + _SAMPLE])) >= _FEWEST_LETTERS:
            yield "".join(text[start:end].split()).rstrip("=") if wrapped else text[start:end]


def _marked(text: str) -> bytes:
    """An A for each character of the alphabet, a blank for any other."""
    return text.encode("latin-1", "replace").translate(_MARKED)


def _content(run: str) -> bytes | None:
    """The text that a run encodes, or None when it encodes none."""
    if _HEXADECIMAL.fullmatch(run):
        return _plain(bytes.fromhex(run))
    letters = run.encode().translate(_URL_SAFE)
    middle = max(0, len(letters) // 2 - _SAMPLE // 2)
    start = middle - middle % 4
    for phase in range(4):  # what stands before it may have shifted it
        if is_text(_base64(letters[start + phase : start + phase + _SAMPLE])):
            return _base64(letters[phase:])
    packed = _PACKED_RUNS.search(letters)
    return _plain(_base64(letters[packed.start() :])) if packed else None


def _base64(letters: bytes) -> bytes:
    # Two signs of padding are enough for any length that base64 can have, and too many harm none.
    return binascii.a2b_base64((letters[:-1] if len(letters) % 4 == 1 else letters) + b"==")


def _plain(content: bytes) -> bytes | None:
    """A text, unpacked if need be, or None."""
    for magic, unpacker in _PACKED.items():
        if content.startswith(magic):
            try:
                content = unpacker().decompress(content, _UNPACKED_BYTES)
            except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
                return None
            break
    return content if is_text(content[: 64 * _SAMPLE]) else None


def is_text(start: bytes) -> bool:
    """Whether a file's first bytes are UTF-8, but for one in twenty, and a character cut at their end."""
    if not start or b"\0" in start:
        return False
    if start.isascii():
        return True
    odd = start.decode("utf-8", "replace").count("\ufffd")
    if odd * 20 < len(start):
        return True
    if odd > _CUT_BYTES and _REPLACED not in start:  # all of them are errors, so many cannot be its end
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as problem:
        return problem.start >= len(start) - _CUT_BYTES
    return True
