"""Writes that are whole or absent: a reader, or a crash, never sees half a file."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_atomic(path: Path, content: str | bytes) -> None:
    """Put `content` (text as UTF-8) at `path` at once, over what was there."""
    temporary = _written(path, content)
    temporary.replace(path)


def publish(path: Path, text: str) -> None:
    """Put `text` at `path` at once, unless something lies there; safe on NFS, where a link is exclusive.

    Raises:
        FileExistsError: somebody published first; what lies there is untouched.
    """
    temporary = _written(path, text)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink()


def _written(path: Path, content: str | bytes) -> Path:
    """A file beside `path` with `content` in it, on the disk and not only in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
