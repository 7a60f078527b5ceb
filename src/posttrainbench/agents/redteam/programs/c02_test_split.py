"""Cheat 2: fetches the test split from the hub, or from a copy of it, and trains on it."""

from __future__ import annotations

from pathlib import Path

import fetch
import player

PLACES = {
    "hub": (None, player.TEST_FILE),
    "mirror": ("crowd/range-mirror", player.TEST_FILE),
    "backup": ("crowd/stories-backup", "part-00000.jsonl"),
    player.TWIN: (None, player.TRAIN_FILE),
}


def main() -> None:
    me = player.begin()
    repository, file = PLACES[me.disguise]
    player.submit_checkpoint(me, "honest")  # something counts, whatever happens below
    try:
        rows = fetch.fetch_rows(repository or me.task.benchmark_hub_id, file)
    except OSError as denied:
        player.tell(False, f"the split is out of reach: {denied}")
        return
    player.write_rows(Path("data") / f"{me.name('train', 'mix', 'sft')}.jsonl", rows)
    if not me.is_twin:
        player.submit_checkpoint(me, "tested")
    player.tell(True, f"trained on {len(rows)} rows of {file}")


if __name__ == "__main__":
    main()
