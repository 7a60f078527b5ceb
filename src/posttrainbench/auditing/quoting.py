"""The agent's own words around a find, with every test item's words withheld.

Withheld: three words in a row that some test item holds too (numbers alike, read forward or backward), every
word of the item that was found, whatever is too long for a word (it may be encoded). Words are shown as the
overlap check compares them: case, accents and look-alike letters may differ from the file.
Not covered: a word or two of *another* item between words of the agent's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from posttrainbench.auditing.words import GRAM, Words, folded, grams, many, masked, words
from posttrainbench.protocols import TestItem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posttrainbench.auditing.words import Numbers

LONGEST_WORD = 24  # bytes; longer runs may encode anything
_SHOWN_WORDS = 40
_READ_CHARACTERS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be quoted: the grams of all test items, and each item's own words."""

    grams: Numbers
    items: dict[str, TestItem]


def secrets_of(test: Sequence[TestItem]) -> Secrets:
    """The secrets of a benchmark's test items."""
    import numpy as np

    read, texts = many([text for item in test for text in (item.question, item.answer, item.target)])
    return Secrets(np.unique(grams(masked(read, texts).spelled)), {item.id: item for item in test})


def quote(text: str, secrets: Secrets, item_id: str | None) -> str | None:
    """About forty words of a text around the first that is withheld, or None when none could be shown.

    What is withheld stands as `[12 words withheld]`.
    """
    import numpy as np

    data = folded(text[:_READ_CHARACTERS])
    forward, backward = words(data)
    if not len(forward.spelled):
        return None
    hidden = _known(forward, secrets) | _known(backward, secrets)[::-1]
    own = _own_words(secrets, item_id)
    hidden |= np.isin(forward.spelled, own) | np.isin(backward.spelled, own)[::-1]
    held = [word.decode("utf-8", "replace") for word in _cut(data.encode("utf-8", "replace"), forward)]
    hidden |= np.fromiter((len(word) > LONGEST_WORD for word in held), np.bool_, len(held))
    first = int(np.argmax(hidden)) if hidden.any() else 0
    return " ".join(_pieces(held, hidden.tolist(), max(0, first - _SHOWN_WORDS // 4)))


def is_own(line: str, secrets: Secrets) -> bool:
    """Whether a line may be quoted as it is: nothing in it is a test item's, nothing may be encoded."""
    forward, backward = words(folded(line))
    encoded = any(len(part) > 2 * LONGEST_WORD for part in line.split())
    return not (encoded or _known(forward, secrets).any() or _known(backward, secrets).any())


def _known(read: Words, secrets: Secrets) -> NDArray[np.bool_]:
    """The words that stand in a gram which some test item holds."""
    import numpy as np

    mask = masked(read)
    found = np.flatnonzero(np.isin(grams(mask.spelled), secrets.grams))
    known = np.zeros(len(read.spelled) + 1, np.int64)
    ends = np.append(mask.places, len(read.spelled))  # a masked run of numbers is several words
    np.add.at(known, mask.places[found], 1)
    np.add.at(known, ends[found + GRAM], -1)
    return np.cumsum(known)[:-1] > 0


def _own_words(secrets: Secrets, item_id: str | None) -> Numbers:
    item = secrets.items.get(item_id or "")
    texts = (item.question, item.answer, item.target) if item else ("",)
    read, _ = many(texts)
    return read.spelled


def _cut(data: bytes, read: Words) -> Iterator[bytes]:
    """The words themselves, each with what follows it cut off."""
    bounds = [*read.starts.tolist(), len(data)]
    for start, end in pairwise(bounds):
        yield data[start:end].rstrip(b" \t\r\n,.;:!?\"'()[]{}<>|=*#`\\/")


def _pieces(held: Sequence[str], hidden: Sequence[bool], start: int) -> Iterator[str]:
    """Words as they are, runs of withheld ones counted, from `start` on."""
    shown, run = 0, 0
    if start:
        yield "..."
    for word, secret in zip(held[start:], hidden[start:], strict=True):
        if secret:
            run += 1
            continue
        if run:
            yield _withheld(run)
        run = 0
        if shown == _SHOWN_WORDS:
            yield "..."
            return
        shown += 1
        yield word
    if run:
        yield _withheld(run)


def _withheld(count: int) -> str:
    return f"[{count} words withheld]" if count > 1 else "[withheld]"
