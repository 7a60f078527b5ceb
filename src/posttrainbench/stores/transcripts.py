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
from pathlib import Path
from types import TracebackType

HEAD_BYTES = 48 * 1024**2
TAIL_BYTES = 16 * 1024**2


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
