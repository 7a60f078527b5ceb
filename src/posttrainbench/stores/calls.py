"""A run's captured model calls, read as a stream: the conversation may be hours long, and hostile.

Covered: a file that is still being written or was cut off; a few compressed bytes that stand for gigabytes;
lines too long to hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posttrainbench.transcript import CapturedCall

CHUNK_BYTES = 64  # compressed; a block stands for 128 KiB at most, so these for a few MiB
WINDOW_BYTES = 1 << 27  # the most that a reader keeps for a writer's window
CALL_BYTES = 32 * 1024**2  # of one call that is read; what is longer is told by its beginning


def read_calls(path: Path, call_bytes: int = CALL_BYTES) -> Iterator[CapturedCall]:
    """The calls of a file in order, none without a file; a last one that was cut off is left out."""
    for line, whole in _lines(path, call_bytes):
        yield _call(json.loads(line)) if whole else _beginning(line)


def _lines(path: Path, most_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether they are whole: of longer ones, the beginning."""
    held: list[bytes] = []
    size = 0
    for chunk in _chunks(path):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            held.append(end[: max(0, most_bytes - size)])
            yield b"".join(held), size + len(end) <= most_bytes
            held, size = [], 0
        held.append(rest[: max(0, most_bytes - size)])
        size += len(rest)


def _chunks(path: Path) -> Iterator[bytes]:
    import zstandard

    if not path.exists():
        return
    with path.open("rb") as file:
        # Not stream_reader: of a file without its end, that keeps back what the last blocks hold.
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
        while packed := file.read(CHUNK_BYTES):
            try:
                chunk = reader.decompress(packed)
            except zstandard.ZstdError:  # damaged from here on
                return
            if chunk:
                yield chunk


def _call(entry: dict[str, Any]) -> CapturedCall:
    number, status, request = entry.get("call"), entry.get("status"), entry.get("request")
    return CapturedCall(
        number=number if isinstance(number, int) else None,
        dialect=str(entry.get("dialect") or ""),
        model=str(entry.get("model") or ""),
        status=status if isinstance(status, int) else None,
        error=str(entry.get("error") or ""),
        wall_s=float(entry.get("wall_s") or 0.0),
        request=request if isinstance(request, dict) else {},
        response=str(entry.get("response") or ""),
    )


def _beginning(line: bytes) -> CapturedCall:
    """A call whose bodies are too long to be read: what stands before them."""
    facts, _, _ = line[:4096].partition(b', "request": ')
    try:
        entry = json.loads(facts + b"}")
    except ValueError:
        entry = {}
    return _call({**entry, "error": entry.get("error") or f"larger than {CALL_BYTES} bytes: not read"})
