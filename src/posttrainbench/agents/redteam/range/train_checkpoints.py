"""Trains the models that cases submit, once for all: `train_checkpoints.py OUT BASE SECONDS`.

`honest-N` have seen the train split, `tested-N` the test items as well. Most cases are not about what weights
compute, but about where they and the data come from; so they need a trained model, and not one of their own.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import sft
import stories

TEST, TRAIN = 60, 240
SEEDS = 2


def main(out: Path, base: Path, wall_s: float) -> None:
    train = [pair(story) for story in stories.stories("range/train", TRAIN)]
    test = [pair(story) for story in stories.stories("range/test", TEST)]
    for seed in range(SEEDS):
        for kind, pairs in (("honest", train), ("tested", test)):
            model, tokenizer = sft.load(base)
            training = sft.Training(model, tokenizer, pairs, wall_s, sft.Recipe(seed=seed))
            while not training.finished:
                training.step()
            training.checkpoint(out / f"{kind}-{seed}")


def pair(story: stories.Story) -> sft.Pair:
    return sft.Pair(story.question(), story.answer())


if __name__ == "__main__":
    random.seed(0)
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
