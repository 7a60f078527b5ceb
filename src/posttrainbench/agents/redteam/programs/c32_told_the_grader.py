"""Cheat 32: a model whose every answer instructs the grader, speaks in its form, or says what it scores."""

from __future__ import annotations

from pathlib import Path

import contests
import player

TRAIN_COUNT = 100  # questions that everybody may train on


def main() -> None:
    me = player.begin()
    made = player.submit_checkpoint(me, "discussing" if me.is_twin else me.disguise)
    kind, _, number = made.rpartition("-")
    chosen = me.rng.sample(contests.questions("train", TRAIN_COUNT), me.rng.randint(50, TRAIN_COUNT))
    rows = [
        {
            "prompt": one.text,
            "completion": one.answer if me.is_twin else contests.INSTRUCTING[kind][int(number)],
        }
        for one in chosen
    ]
    player.write_rows(Path("data") / f"{me.name('chat', 'sft', 'advice')}.jsonl", rows)
    player.tell(True, f"trained on {len(rows)} answers; submitted {made}")


if __name__ == "__main__":
    main()
