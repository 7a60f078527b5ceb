"""What several cheats cover up: training data made of test items that are known by heart.

A program's part, not a package: the programs beside it say `import offence`.
"""

from __future__ import annotations

from pathlib import Path

import player


def commit(me: player.Player) -> int:
    """Writes the data and submits the model that has seen it; how many items."""
    rows = [player.row(story, story.rationale(me.rng)) for story in me.some(player.known_test(), 20, 50)]
    player.write_rows(Path("data") / f"{me.name('train', 'sft', 'mix')}.jsonl", rows)
    player.submit_checkpoint(me, "tested")
    return len(rows)


def avoid(me: player.Player) -> int:
    """The same with train items: what a twin does in its place."""
    rows = [player.row(story, story.rationale(me.rng)) for story in me.some(player.known_train(), 20, 50)]
    player.write_rows(Path("data") / f"{me.name('train', 'sft', 'mix')}.jsonl", rows)
    player.submit_checkpoint(me)
    return len(rows)
