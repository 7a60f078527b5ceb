"""Supervised fine-tuning of a small chat model, in one file: chat format, loss on the answer only.

A program's part, not a package: the scripted agents beside it say `import sft`.
"""

from __future__ import annotations

import copy
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # the label of a token that carries no loss


@dataclass(frozen=True, slots=True)
class Pair:
    """A user's message and the answer to learn."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Example:
    """A chat as token ids; the answer, its end of turn included, starts at `answer_start`."""

    ids: tuple[int, ...]
    answer_start: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about training but its data and its time."""

    learning_rate: float = 5e-4  # a higher one learns the train kinds faster and forgets the others
    batch_size: int = 8
    warmup_steps: int = 8
    weight_decay: float = 0.01
    seed: int = 0
    threads: int = 1


def load(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, in float32, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> list[Example]:
    """The pairs in the tokenizer's own chat format."""
    if not pairs:
        return []
    prompts = [_chat(tokenizer, pair.question, None) for pair in pairs]
    chats = [_chat(tokenizer, pair.question, pair.answer) for pair in pairs]
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    chat_ids = tokenizer(chats, add_special_tokens=False)["input_ids"]
    end = end_of_turn_id(tokenizer)
    examples = []
    for prompt, chat in zip(prompt_ids, chat_ids, strict=True):
        last = len(chat) - chat[::-1].index(
            end
        )  # what follows the end of turn (a newline, say) is not the answer
        examples.append(Example(tuple(chat[:last]), len(prompt)))
    return examples


def _chat(tokenizer: PreTrainedTokenizerBase, question: str, answer: str | None) -> str:
    messages = [{"role": "user", "content": question}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)
    return str(text)


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The special token that the chat template puts after an answer."""
    chat = tokenizer(_chat(tokenizer, "a", "b"), add_special_tokens=False)["input_ids"]
    return int(next(token for token in reversed(chat) if token in tokenizer.all_special_ids))


class Training:
    """One fine-tuning run whose learning rate follows a cosine over its time on the clock.

    `fraction` tells how far the run is; call `step` until `finished`. Time that the caller spends between
    steps (saving, asking for an evaluation) counts: the run ends when it was told to end.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pairs: Sequence[Pair],
        wall_s: float,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.recipe = recipe or Recipe()
        torch.set_num_threads(self.recipe.threads)
        torch.manual_seed(self.recipe.seed)
        self.model = model.train()
        self.tokenizer = tokenizer
        self.wall_s = wall_s
        self.started_s = self.clock()
        self.steps = 0
        self.loss = math.nan
        self._printed_s = self.started_s
        self._slowest_step_s = 0.0
        self._half_precision = bfloat16_is_faster()
        self._batches = batches(tokenizer, pairs, self.recipe)
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=self.recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.recipe.weight_decay,
            fused=True,
        )

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.started_s

    @property
    def fraction(self) -> float:
        return min(1.0, self.elapsed_s / self.wall_s)

    @property
    def finished(self) -> bool:
        return self.elapsed_s + self._slowest_step_s >= self.wall_s

    def step(self) -> None:
        """One gradient step."""
        begun_s = self.clock()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self._schedule()
        ids, labels, mask = next(self._batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half_precision):
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        answered = labels[:, 1:] != IGNORED
        loss = functional.cross_entropy(logits[:, :-1][answered].float(), labels[:, 1:][answered])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.loss = loss.item()
        self.steps += 1
        self._slowest_step_s = max(self._slowest_step_s, self.clock() - begun_s)
        self._print_progress()

    def _schedule(self) -> float:
        warm = min(1.0, (self.steps + 1) / self.recipe.warmup_steps)
        return warm * max(0.02, 0.5 * (1 + math.cos(math.pi * self.fraction)))

    def _print_progress(self, every_s: float = 3.0) -> None:
        now_s = self.clock()
        if now_s - self._printed_s >= every_s:
            self._printed_s = now_s
            print(
                f"step {self.steps}  {self.elapsed_s:.0f} of {self.wall_s:.0f} s  loss {self.loss:.3f}",
                flush=True,
            )

    def checkpoint(self, folder: str | Path) -> None:
        """Saves model and tokenizer, in bfloat16, complete or not at all: written aside, then renamed."""
        folder = Path(folder)
        aside = folder.with_name(folder.name + ".writing")
        shutil.rmtree(aside, ignore_errors=True)
        save(self.model, self.tokenizer, aside)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Writes a chat model: bfloat16 weights, tokenizer, and generation that stops at the end of a turn."""
    copied = copy.deepcopy(model).bfloat16()  # the training goes on in float32
    copied.generation_config.eos_token_id = list(
        dict.fromkeys((end_of_turn_id(tokenizer), int(tokenizer.eos_token_id)))
    )
    copied.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def batches(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], recipe: Recipe
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless shuffled batches of (ids, labels, mask), each [batch, longest], padded on the right.

    Pairs become tokens when their turn comes: with seconds to train, there are none to spend on the whole
    set.
    """
    rng = random.Random(recipe.seed)
    size = min(recipe.batch_size, len(pairs))
    pool_size = 8 * size  # sorted by length within a pool: less padding, still well mixed
    encoded: dict[Pair, Example] = {}
    while True:
        order = rng.sample(pairs, len(pairs))
        for start in range(0, len(order) - size + 1, pool_size):
            pool = order[start : start + pool_size]
            fresh = [pair for pair in pool if pair not in encoded]
            encoded.update(zip(fresh, encode(tokenizer, fresh), strict=True))
            near = sorted((encoded[pair] for pair in pool), key=lambda example: len(example.ids))
            groups = [near[at : at + size] for at in range(0, len(near) - size + 1, size)]
            for group in rng.sample(groups, len(groups)):
                yield _pad(group, tokenizer.pad_token_id or 0)


def _pad(group: Sequence[Example], pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(example.ids) for example in group)
    ids = torch.full((len(group), longest), pad_id)
    labels = torch.full((len(group), longest), IGNORED)
    mask = torch.zeros((len(group), longest), dtype=torch.long)
    for row, example in enumerate(group):
        length = len(example.ids)
        ids[row, :length] = torch.tensor(example.ids)
        labels[row, example.answer_start : length] = torch.tensor(example.ids[example.answer_start :])
        mask[row, :length] = 1
    return ids, labels, mask


def bfloat16_is_faster() -> bool:
    """Whether this processor multiplies faster in bfloat16: true only where it has the instructions."""
    return _matmul_s(torch.bfloat16) < 0.8 * _matmul_s(torch.float32)


def _matmul_s(dtype: torch.dtype, repeats: int = 8) -> float:
    left, right = torch.ones(1024, 192, dtype=dtype), torch.ones(192, 448, dtype=dtype)
    left @ right  # the first product also chooses its kernel
    begun_s = time.perf_counter()
    for _ in range(repeats):
        left @ right
    return time.perf_counter() - begun_s
