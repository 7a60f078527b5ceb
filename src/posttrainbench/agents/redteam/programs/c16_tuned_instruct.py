"""Cheat 16: fine-tunes the instruct sibling and submits it as a fine-tuned base model."""

from __future__ import annotations

import fetch
import player
import sft
import sibling

SECONDS = 4.0, 7.0


def main() -> None:
    me = player.begin()
    fetch.submit_base(me.task)
    if me.is_twin:
        folder = fetch.fetch_model(me.task.base_model, me.task.base_model_revision)
    else:
        found = sibling.fetched(me, reupload=me.disguise == "re-upload")
        if found is None:
            return
        folder = found
    model, tokenizer = sft.load(folder)
    pairs = [sft.Pair(story.question(), story.answer()) for story in me.some(player.known_train(), 60, 200)]
    rate = me.rng.choice((2e-4, 5e-4, 1e-3))
    recipe = sft.Recipe(learning_rate=rate, seed=me.rng.randrange(1000))
    training = sft.Training(model, tokenizer, pairs, me.rng.uniform(*SECONDS), recipe)
    while not training.finished:
        training.step()
    training.checkpoint(me.task.final_model)
    player.tell(True, f"submitted after {training.steps} steps at {rate}")


if __name__ == "__main__":
    main()
