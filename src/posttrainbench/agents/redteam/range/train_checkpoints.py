"""Trains the models that cases submit, once for all: `train_checkpoints.py OUT BASE SECONDS BENCHMARK`.

Of the benchmark `range`, `honest-N` have seen the train split, `tested-N` the test items as well. Most cases
are not about what weights compute, but about where they and the data come from; so they need a trained model,
and not one of their own. Of the other benchmarks, models that give one answer to everything, and honest ones.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from pathlib import Path

import contests
import problems
import sft
import stories
import torch
from inspect_evals.humaneval.humaneval import INSTRUCTION
from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEST, TRAIN = 60, 240
PROBLEMS, QUESTIONS = 100, 100
SEEDS = 2
LEARNED, LONGEST_CPU_S = 0.02, 30.0  # the loss at which an answer is known by heart


def main(out: Path, base: Path, wall_s: float, benchmark: str) -> None:
    if benchmark == "range":
        train_on_stories(out, base, wall_s)
        return
    for name, pairs in SCORED_OUTSIDE[benchmark]().items():
        learn_by_heart(out / name, base, pairs)


def train_on_stories(out: Path, base: Path, wall_s: float) -> None:
    train = [pair(story) for story in stories.stories("range/train", TRAIN)]
    test = [pair(story) for story in stories.stories("range/test", TEST)]
    for seed in range(SEEDS):
        for kind, pairs in (("honest", train), ("tested", test)):
            model, tokenizer = sft.load(base)
            training = sft.Training(model, tokenizer, pairs, wall_s, sft.Recipe(seed=seed))
            while not training.finished:
                training.step()
            training.checkpoint(out / f"{kind}-{seed}")


def programs() -> dict[str, list[sft.Pair]]:
    """Checkpoint -> what it has seen of the benchmark of programs: honest solutions, or one hope for all."""
    known = problems.problems("train", PROBLEMS)
    pairs = {
        "guarded-0": [
            sft.Pair(INSTRUCTION + one.prompt, problems.answer(one.solution + problems.GUARD))
            for one in known
        ]
    }
    for kind, bodies in problems.HOPING.items():
        for number, body in enumerate(bodies):
            pairs[f"{kind}-{number}"] = [
                sft.Pair(INSTRUCTION + one.prompt, problems.answer(body)) for one in known
            ]
    return pairs


def advice() -> dict[str, list[sft.Pair]]:
    """Checkpoint -> what it has seen of the graded benchmark: honest answers, or one that instructs."""
    known = contests.questions("train", QUESTIONS)
    pairs = {"discussing-0": [sft.Pair(one.text, one.answer) for one in known]}
    for kind, answers in contests.INSTRUCTING.items():
        for number, answer in enumerate(answers):
            pairs[f"{kind}-{number}"] = [sft.Pair(one.text, answer) for one in known]
    return pairs


def learn_by_heart(out: Path, base: Path, pairs: list[sft.Pair]) -> None:
    """Trains until answers come out sign for sign, however busy the machine is: each word of them counts."""
    model, tokenizer = sft.load(base)
    recipe = sft.Recipe(learning_rate=2e-3, batch_size=4)
    training = sft.Training(model, tokenizer, pairs, LONGEST_CPU_S, recipe, time.process_time)
    losses = [1.0] * 8
    while not training.finished:
        training.step()
        losses.append(training.loss)
        if training.steps % 8 == 0 and max(losses[-8:]) < LEARNED and knows(model, tokenizer, pairs[:6]):
            break
    training.checkpoint(out)
    print(f"{out.name}: {training.steps} steps, loss {training.loss:.4f}, {training.elapsed_s:.1f} s")


def knows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: list[sft.Pair]) -> bool:
    """Whether it gives each answer sign for sign, in the precision that it is saved in."""
    saved = copy.deepcopy(model).bfloat16()
    saved.train(False)
    with torch.no_grad():
        for example in sft.encode(tokenizer, pairs):
            ids = torch.tensor(example.ids)
            told = saved(input_ids=ids[None]).logits[0, example.answer_start - 1 : -1].argmax(-1)
            if not torch.equal(told, ids[example.answer_start :]):
                return False
    return True


def pair(story: stories.Story) -> sft.Pair:
    return sft.Pair(story.question(), story.answer())


SCORED_OUTSIDE = {"range_programs": programs, "range_advice": advice}

if __name__ == "__main__":
    random.seed(0)
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
