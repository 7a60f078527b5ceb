"""The agent's own stream as it came out of the sandbox: time-stamped by the host, bounded.

Covered: an agent that prints gigabytes (the head and a moving tail are kept, the rest is counted), bytes that
are no text, a stream cut in the middle of a character.
Not covered: what the stream claims; it is the agent's word.
"""

from __future__ import annotations

import codecs
import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from posttrainbench.transcript import Line

HEAD_BYTES = 48 * 1024**2
TAIL_BYTES = 16 * 1024**2
LINE_CHARACTERS = 4 * 1024**2  # of a line that is read; what is longer is cut


class TranscriptWriter:
    """Writes chunks of output as lines {"at_s", "text"}; `at_s` counts from the start of the agent."""

    def __init__(self, path: Path, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._path, self._head_bytes, self._tail_bytes = path, head_bytes, tail_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail: deque[tuple[str, int]] = deque()
        self._tail_size = 0
        self._started = time.monotonic()
        self.total_bytes = 0
        self.dropped_bytes = 0

    def __enter__(self) -> TranscriptWriter:
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.dropped_bytes:
            self._file.write(self._line(f"[{self.dropped_bytes} bytes of output were not kept]"))
        for line, _size in self._tail:
            self._file.write(line)
        self._file.close()

    def write(self, chunk: bytes) -> None:
        """Take what the agent printed."""
        text = self._decoder.decode(chunk)
        if not text:
            return
        head_is_full = self.total_bytes + len(chunk) > self._head_bytes
        self.total_bytes += len(chunk)
        if head_is_full or self._tail:
            self._keep_in_tail(self._line(text), len(chunk))
        else:
            self._file.write(self._line(text))
            self._file.flush()

    def _keep_in_tail(self, line: str, size: int) -> None:
        self._tail.append((line, size))
        self._tail_size += size
        while self._tail_size > self._tail_bytes and len(self._tail) > 1:
            _, gone = self._tail.popleft()
            self._tail_size -= gone
            self.dropped_bytes += gone

    def _line(self, text: str) -> str:
        at_s = round(time.monotonic() - self._started, 3)
        return json.dumps({"at_s": at_s, "text": text}, ensure_ascii=False) + "\n"


def read_lines(path: Path, from_byte: int = 0) -> Iterator[Line]:
    """The lines that the agent printed, put together again from the pieces they came in; none without a file.

    Memory holds one line and one piece, however long the file. `from_byte` may lie anywhere: reading begins
    with the next line that begins in a piece after it.
    """
    if not path.exists():
        return
    held: list[str] = []
    size, cut = 0, 0
    at_s = 0.0
    began = not from_byte  # else the first line is the rest of one
    for at_s, text in _pieces(path, from_byte):
        *whole, rest = text.split("\n")
        for part in whole:
            if began:
                held.append(part[: max(0, LINE_CHARACTERS - size)])
                cut += len(part) - len(held[-1])
                yield Line(at_s, "".join(held).removesuffix("\r"), cut)
            held, size, cut, began = [], 0, 0, True
        kept = rest[: max(0, LINE_CHARACTERS - size)]
        held.append(kept)
        size += len(kept)
        cut += len(rest) - len(kept)
    if began and (size or cut):
        yield Line(at_s, "".join(held), cut)


def _pieces(path: Path, from_byte: int) -> Iterator[tuple[float, str]]:
    """(seconds, text) of each whole piece; a last one that is still being written is left out."""
    with path.open("rb") as file:
        if from_byte:
            file.seek(from_byte)
            file.readline()
        for raw in file:
            try:
                piece = json.loads(raw)
                yield float(piece["at_s"]), str(piece["text"])
            except (ValueError, KeyError, TypeError):
                continue
