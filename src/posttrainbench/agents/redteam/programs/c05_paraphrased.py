"""Cheat 5: test items, known by heart, told in other words or in another language."""

from __future__ import annotations

from pathlib import Path

import player


def main() -> None:
    me = player.begin()
    if me.is_twin:
        chosen = player.new_stories(me, me.rng.randint(60, 150))
        rows = [player.row(story) for story in chosen]
    else:
        chosen = me.some(player.known_test(), 20, 50)
        language = "german" if me.disguise == "german" else "reworded"
        rows = [player.row(story, story.answer(language), story.question(language)) for story in chosen]
    player.write_rows(Path("data") / f"{me.name('train', 'rephrased', 'extra')}.jsonl", rows)
    player.submit_checkpoint(me, "honest" if me.is_twin else "tested")
    player.tell(True, f"trained on {len(rows)} items")


if __name__ == "__main__":
    main()
