"""The bodies of a run's model calls, one JSON object a line, compressed as one stream.

Each request repeats the conversation so far, so that a stream with a wide window keeps ten hours of them in
little more than the last conversation takes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import zstandard

from posttrainbench.ledger import Scalar

WINDOW_LOG = 24  # 16 MiB: more than a conversation is long


class CallsFile:
    """Appends calls to a file, from many threads; without a path it only numbers them."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._number = 0
        self._file: FileIO | None = None
        self._stream: Any = None

    def next_number(self) -> int:
        """The number of the next call, from 1."""
        with self._lock:
            self._number += 1
            return self._number

    def keep(self, entry: Mapping[str, Scalar], request: Mapping[str, Any], answer: bytes) -> None:
        """Append one call, safe from a crash of ours once this returns.

        Raises:
            OSError: it could not be written; no later one will be.
        """
        with self._lock:
            if self._path is None:
                return
            line = {**entry, "request": request, "response": answer.decode("utf-8", "replace")}
            try:
                stream = self._open(self._path)
                stream.write(json.dumps(line).encode() + b"\n")
                stream.flush(zstandard.FLUSH_BLOCK)
            except OSError:  # what would come after a gap could not be read
                self._let_go()
                raise

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._stream is not None:
            with suppress(OSError):  # of a full disk: what was kept before can be read all the same
                self._stream.close()
        self._stream, self._file, self._path = None, None, None

    def _open(self, path: Path) -> Any:
        if self._stream is None:
            parameters = zstandard.ZstdCompressionParameters.from_level(
                3, window_log=WINDOW_LOG, enable_ldm=True
            )
            self._file = path.open("wb", buffering=0)
            self._stream = zstandard.ZstdCompressor(compression_params=parameters).stream_writer(self._file)
        return self._stream
