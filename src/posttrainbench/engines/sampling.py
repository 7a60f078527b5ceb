"""The next token of every row: greedy or drawn, each row by its own settings and its own random numbers.

A row's draws depend on its prompt and seed alone, never on which rows it shares a batch with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; top_k 0, top_p 1 and a penalty of 1 change nothing."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    @classmethod
    def of(cls, settings: Any) -> Sampling:
        """What a model's generation settings (a `GenerationConfig` of transformers) ask for.

        Settings count only when they say `do_sample`; a top_k that they leave out is none, as in vLLM.
        """
        greedy = not settings.do_sample
        return cls(
            temperature=0.0 if greedy else _number(settings.temperature, 1.0),
            top_k=int(_number(settings.top_k, 0)),
            top_p=_number(settings.top_p, 1.0),
            repetition_penalty=_number(settings.repetition_penalty, 1.0),
        )


def penalised(logits: torch.Tensor, seen: torch.Tensor, settings: Sequence[Sampling]) -> torch.Tensor:
    """Logits with tokens that a row has seen made less likely, as the CTRL paper has it.

    Args:
        logits: [rows, vocabulary].
        seen: [rows, vocabulary], True where a token is in the prompt or the completion so far.
        settings: one per row.
    """
    penalty = logits.new_tensor([[s.repetition_penalty] for s in settings])
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def next_tokens(logits: torch.Tensor, settings: Sequence[Sampling], draws: Sequence[float]) -> list[int]:
    """One token per row.

    Args:
        logits: [rows, vocabulary], float.
        settings: one per row.
        draws: one number in [0, 1) per row; greedy rows ignore theirs.
    """
    if all(s.temperature == 0 for s in settings):
        return _as_list(logits.argmax(-1))
    temperature = logits.new_tensor([[s.temperature or 1.0] for s in settings])
    ranked, tokens = torch.sort(logits.float() / temperature, dim=-1, descending=True)
    ranked = ranked.masked_fill(_beyond_top_k(ranked, settings), -torch.inf)
    probabilities = ranked.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    top_p = ranked.new_tensor([[s.top_p] for s in settings])
    probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    probabilities[:, 0] = torch.where(
        before.new_tensor([s.temperature == 0 for s in settings]) > 0, 1e30, probabilities[:, 0]
    )  # a greedy row among drawn ones: all its weight lies on the first
    total = probabilities.sum(-1, keepdim=True)
    aim = ranked.new_tensor(list(draws))[:, None] * total
    place = (probabilities.cumsum(-1) <= aim).sum(-1, keepdim=True).clamp(max=ranked.shape[-1] - 1)
    return _as_list(tokens.gather(-1, place)[:, 0])


def _beyond_top_k(ranked: torch.Tensor, settings: Sequence[Sampling]) -> torch.Tensor:
    width = ranked.shape[-1]
    top_k = torch.tensor([[s.top_k or width] for s in settings], device=ranked.device)
    return torch.arange(width, device=ranked.device)[None] >= top_k


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _as_list(tokens: torch.Tensor) -> list[int]:
    numbers: list[int] = tokens.tolist()
    return numbers
