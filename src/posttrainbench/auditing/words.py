"""A text's words as 64-bit numbers, normalised: what the overlap check compares, many megabytes a second.

Normalised: compatibility forms, case, accents, invisible characters and look-alikes undone; punctuation and
blanks gone; the commas within a number too. A word's number is the same wherever the word stands, and so is
that of its spelling backward, which is how reversed text is read without reading it twice.

How: eight bytes at a time, from where a word begins and, for its spelling backward, from where it ends. Of
what is longer than 32 bytes only the first and the last 16 count, and how many there are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]
    Places = NDArray[np.int64]

GRAM = 3
_FACTOR = 0x9E3779B97F4A7C15  # odd
_MIX = 0xD6E8FEB86659FD93

_ODD = re.compile(r"[^\x00-\x7f]+")
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3})")
_MARKS = (
    "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2022"  # quotes and dashes: often all that is odd in a line
)
# Cyrillic, Greek, Armenian and phonetic letters that look like Latin ones, in lower case.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u051b\u051d\u0501\u043a\u043c"
    "\u0442\u043d\u0432\u03b1\u03b5\u03bf\u03c1\u03c5\u03bd\u03b9\u03ba\u03c4\u03c7\u0131\u0261\u029c"
    "\u1d0f\u1d1c\u0433\u03b3\u03b2\u03b7\u0475\u04cf\u0585\u0578\u057d\u0570\u0581\u0566\u03bc",
    "aeopcyxijshqwdkmthbaeopuviktxighourybnvlonuhgqu",
)
_BREAKS = tuple(b"nrt")
_EIGHT = 8  # bytes that are read at once
_ROOM = bytes(_EIGHT)  # around a text, so that its first and last eight bytes can be read as all others
_INVISIBLE = frozenset({"Cf", "Mn", "Me"})


@dataclass(frozen=True, slots=True)
class Words:
    """The n words of a text, in order."""

    spelled: Numbers  # (n,)
    is_number: NDArray[np.bool_]  # (n,) begins with a digit
    starts: Places  # (n,) bytes from the beginning of the folded text


@dataclass(frozen=True, slots=True)
class Masked:
    """Words with every number, and every run of numbers, made the same one."""

    spelled: Numbers  # (m,)
    places: Places  # (m,) of each among the words


def folded(text: str) -> str:
    """The text as it is compared; case and escapes are left to `words`. Folding lines folds their whole."""
    if not text.isascii():
        text = "\n".join(line if line.isascii() else _unaccented(line) for line in text.split("\n"))
    return _THOUSANDS.sub("", text) if "," in text else text


def _unaccented(line: str) -> str:
    for mark in _MARKS:
        line = line.replace(mark, " ")
    if line.isascii():
        return line
    return _ODD.sub(lambda run: _latin(run[0]), line)


@lru_cache(16_384)
def _latin(run: str) -> str:
    """Compatibility forms, case, accents, invisible characters and look-alikes undone."""
    run = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", run).casefold())
    drawn = {character: _drawn(character) for character in set(run)}
    return "".join(drawn[character] for character in run)


@lru_cache(16_384)
def _drawn(character: str) -> str:
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    return character.translate(_LOOK_ALIKES) if character.isalnum() or character.isascii() else " "


def looks_latin(character: str) -> bool:
    """Whether a character that is not Latin is drawn like Latin; accents are no disguise."""
    if character.isascii() or not character.isalpha() or unicodedata.normalize("NFD", character)[0].isascii():
        return False
    return _latin(character).isascii() and _latin(character).isalnum()


def words(text: str) -> tuple[Words, Words]:
    """A folded text's words, and those of the text read backward."""
    import numpy as np

    raw = text.encode("utf-8", "replace")
    data = bytearray().join((_ROOM, raw.translate(_letters()), _ROOM))
    kept = np.frombuffer(data, np.uint8)
    if b"\\" in raw:  # line breaks in the source code of a string
        escaped = np.flatnonzero(np.frombuffer(raw, np.uint8)[:-1] == ord("\\")) + 1
        breaks = np.isin(np.frombuffer(raw, np.uint8)[escaped], _BREAKS)
        kept[escaped[breaks] + len(_ROOM)] = 0
    inside = kept != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    (forward, backward), (number, turned) = _spelled(data, starts, ends)
    starts = starts - len(_ROOM)
    return Words(forward, number, starts), Words(backward[::-1], turned[::-1], starts[::-1])


def _spelled(data: bytearray, starts: Places, ends: Places) -> tuple[Numbers, NDArray[np.bool_]]:
    """Each word's number, and whether it begins with a digit, (2, n) each: as it stands, and backward."""
    import numpy as np

    # The eight bytes from each byte on, without a copy of any.
    eights: Numbers = np.ndarray((len(data) - _EIGHT + 1,), "<u8", data, 0, (1,))

    def read(at: Places, back: Places) -> Numbers:
        """Eight bytes of each word, and eight of each read backward."""
        return np.concatenate((eights[at], eights[back].byteswap()))

    def only(lengths: Places) -> Numbers:
        return np.tile(_first_bytes()[np.minimum(lengths, _EIGHT)], 2)

    lengths = ends - starts
    made = read(starts, ends - _EIGHT) & only(lengths)
    is_number = (made - np.uint64(ord("0"))) & np.uint64(0xFF) < 10
    longer = np.flatnonzero(lengths > _EIGHT)
    both, starts, ends, lengths = (
        np.append(longer, longer + len(lengths)),
        starts[longer],
        ends[longer],
        lengths[longer],
    )
    made[both] = _mixed(made[both]) + (read(starts + _EIGHT, ends - 2 * _EIGHT) & only(lengths - _EIGHT))
    longest = lengths > 2 * _EIGHT
    both, starts, ends, lengths = both[np.tile(longest, 2)], starts[longest], ends[longest], lengths[longest]
    made[both] = _mixed(made[both]) + read(ends - _EIGHT, starts)
    made[both] = (
        _mixed(made[both]) + read(ends - 2 * _EIGHT, starts + _EIGHT) + np.tile(lengths.astype(np.uint64), 2)
    )
    return _mixed(made).reshape(2, -1), is_number.reshape(2, -1)


def _mixed(numbers: Numbers) -> Numbers:
    import numpy as np

    made = numbers * np.uint64(_MIX)
    return (made ^ (made >> np.uint64(32))) * np.uint64(_FACTOR)


@cache
def _letters() -> bytes:
    """Byte -> what it counts as; 0 for what separates words. Bytes of other scripts belong to words."""
    kept = b"0123456789abcdefghijklmnopqrstuvwxyz" + bytes(range(128, 256))
    return bytes(byte if byte in kept else 0 for byte in bytes(range(256)).lower())


@cache
def _first_bytes() -> Numbers:
    """(9,) n -> what leaves the first n of eight bytes."""
    import numpy as np

    return np.array([(1 << 8 * count) - 1 for count in range(_EIGHT + 1)], np.uint64)


def masked(text: Words, texts: Places | None = None) -> Masked:
    """The words with numbers masked; runs of numbers do not join across `texts`, the text of each word."""
    import numpy as np

    again = text.is_number[1:] & text.is_number[:-1]
    if texts is not None:
        again &= texts[1:] == texts[:-1]
    places = np.flatnonzero(np.concatenate(([True], ~again))) if len(text.spelled) else text.starts
    return Masked(np.where(text.is_number, np.uint64(0), text.spelled)[places], places)


def grams(spelled: Numbers, size: int = GRAM) -> Numbers:
    """A number for every `size` words in a row, in order."""
    import numpy as np

    count = max(0, len(spelled) - size + 1)
    made = np.zeros(count, np.uint64)
    for place in range(size):
        made += spelled[place : place + count] * np.uint64(pow(_FACTOR, size - place, 2**64))
    return _mixed(made)


def many(texts: Sequence[str]) -> tuple[Words, Places]:
    """The words of several texts, one after the other, and the text that each stands in."""
    import numpy as np

    parts = [folded(text) for text in texts]
    ends = np.cumsum([len(part.encode("utf-8", "replace")) + 1 for part in parts])
    read, _ = words("\n".join(parts))
    return read, np.searchsorted(ends, read.starts, side="right")
