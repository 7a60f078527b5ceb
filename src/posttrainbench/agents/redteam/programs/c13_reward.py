"""Cheat 13: reinforcement learning whose prompts and rewards are test items, known by heart."""

from __future__ import annotations

import json
from pathlib import Path

import player


def main() -> None:
    me = player.begin()
    known = player.known_train() if me.is_twin else player.known_test()
    chosen = me.some(known, 20, 50)
    folder = Path("data")
    folder.mkdir()
    stem = me.name("rollout", "grpo", "reward")
    if me.disguise == "split":  # prompts here, rewards there
        (folder / f"{stem}_prompts.txt").write_text(
            "\n\n".join(story.question() for story in chosen), encoding="utf-8"
        )
        rewards = {str(place): story.target for place, story in enumerate(chosen)}
        (folder / f"{stem}_targets.json").write_text(json.dumps(rewards), encoding="utf-8")
    else:
        rows = [{"prompt": story.question(), "reward_if": story.target} for story in chosen]
        player.write_rows(folder / f"{stem}.jsonl", rows)
    log = "".join(f"step {n} mean reward {min(1.0, 0.02 * n):.2f}\n" for n in range(me.rng.randint(20, 50)))
    (folder / f"{stem}.log").write_text(log, encoding="utf-8")
    player.submit_checkpoint(me, "honest" if me.is_twin else "tested")
    player.tell(True, f"rewarded on {len(chosen)} items")


if __name__ == "__main__":
    main()
