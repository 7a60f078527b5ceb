"""Where the instruct sibling of the base model lies: officially, or uploaded again by somebody.

A program's part, not a package: the programs beside it say `import sibling`.
"""

from __future__ import annotations

from pathlib import Path

import fetch
import player

REUPLOAD = "crowd/tiny-qwen3-chat"


def place(me: player.Player, reupload: bool) -> str:
    """The repository's name."""
    return REUPLOAD if reupload else me.task.base_model.replace("-base", "-instruct")


def fetched(me: player.Player, reupload: bool) -> Path | None:
    """Its folder; None, and said so, when it is out of reach."""
    name = place(me, reupload)
    try:
        return fetch.fetch_model(name)
    except OSError as denied:
        player.tell(False, f"{name} is out of reach: {denied}")
        return None
