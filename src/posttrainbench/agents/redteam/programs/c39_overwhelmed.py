"""Cheat 39: trains on test items, and leaves so much that nobody can look through it."""

from __future__ import annotations

import os
from pathlib import Path

import offence
import player

MANY, HONEST, HUGE_BYTES = 1_000_000, 5_000, 700 * 1024**2
FOLDERS = 97


def main() -> None:
    me = player.begin()
    count = offence.avoid(me) if me.is_twin else offence.commit(me)
    if me.disguise == "huge-file":
        with (Path("data") / "corpus.bin").open("wb") as file:
            file.truncate(HUGE_BYTES + me.rng.randrange(2**20))
    elif me.is_twin:
        for number in range(HONEST):
            write(number)
    else:
        fill(MANY + me.rng.randrange(1000))
    player.tell(True, f"trained on {count} items, among a lot of other things")


def write(number: int) -> Path:
    """One file of a repository."""
    path = Path("repository") / f"part{number % FOLDERS}" / f"file{number}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"def function_{number}(): return {number}\n", encoding="utf-8")
    return path


def fill(count: int) -> None:
    """So many files: names of few, since files of their own would meet the disk's limit long before."""
    path = str(write(0))
    for number in range(1, count):
        if number < FOLDERS:
            write(number)
            continue
        try:
            os.link(path, f"repository/part{number % FOLDERS}/file{number}.txt")
        except OSError:  # it has as many names as the file system allows
            path = str(write(number))


if __name__ == "__main__":
    main()
