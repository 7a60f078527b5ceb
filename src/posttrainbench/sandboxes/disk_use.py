"""How much of a disk a folder holds, measured safely while an adversary works in it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

BLOCK_BYTES = 512
ENTRY_BYTES = 512  # what an entry costs beside its blocks, so that a million empty files are not free
DEEPEST = 100  # folders in folders; each level costs us an open file, and nobody honest comes near
UNMEASURABLE = 1 << 62  # more than any limit: a tree so deep that it hides what it holds


def disk_use_bytes(folders: Iterable[Path]) -> int:
    """Bytes in blocks that the folders hold together: sparse files and links cost what they take, no more.

    Links are never followed and each step is taken from an open folder, so that a path that is swapped for a
    link while we walk leads nowhere. What vanishes meanwhile counts as nothing.
    """
    seen: set[tuple[int, int]] = set()  # files with several names count once
    total_bytes = 0
    for folder in folders:
        with contextlib.suppress(OSError):
            total_bytes += _tree_bytes(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), seen, 0)
    return total_bytes


def _tree_bytes(folder: int, seen: set[tuple[int, int]], depth: int) -> int:
    """The bytes under an open folder, which is closed on return."""
    try:
        if depth > DEEPEST:
            return UNMEASURABLE
        total_bytes = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total_bytes += _entry_bytes(folder, entry, seen, depth)
        return total_bytes
    finally:
        os.close(folder)


def _entry_bytes(folder: int, entry: os.DirEntry[str], seen: set[tuple[int, int]], depth: int) -> int:
    facts = entry.stat(follow_symlinks=False)
    own_bytes = facts.st_blocks * BLOCK_BYTES + ENTRY_BYTES
    if stat.S_ISDIR(facts.st_mode):
        return own_bytes + _tree_bytes(_open_folder(entry.name, folder), seen, depth + 1)
    if facts.st_nlink > 1:
        if (facts.st_dev, facts.st_ino) in seen:
            return ENTRY_BYTES
        seen.add((facts.st_dev, facts.st_ino))
    return own_bytes


def _open_folder(name: str, parent: int) -> int:
    """Open a folder to list it, also one whose owner, who is our user, took our permission away."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=parent)
    except PermissionError:
        found = os.open(name, os.O_PATH | flags, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{found}").chmod(0o700)  # else it would hide what it holds
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(found)
