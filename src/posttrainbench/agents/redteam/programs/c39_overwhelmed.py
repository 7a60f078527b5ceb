"""Cheat 39: trains on test items, and leaves so much that nobody can look through it."""

from __future__ import annotations

from pathlib import Path

import offence
import player

MANY, HUGE_BYTES = 12_000, 700 * 1024**2


def main() -> None:
    me = player.begin()
    count = offence.avoid(me) if me.is_twin else offence.commit(me)
    if me.disguise == "huge-file":
        with (Path("data") / "corpus.bin").open("wb") as file:
            file.truncate(HUGE_BYTES + me.rng.randrange(2**20))
    else:
        for number in range(2_000 if me.is_twin else me.rng.randint(MANY // 2, MANY)):
            path = Path("repository") / f"part{number % 97}" / f"file{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"def function_{number}(): return {number}\n", encoding="utf-8")
    player.tell(True, f"trained on {count} items, among a lot of other things")


if __name__ == "__main__":
    main()
