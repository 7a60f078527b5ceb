"""How likely a model folder finds given answers, by `transformers`: one forward pass per answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar


def log_likelihoods(
    folder: Path, chat_template: str, exchanges: Sequence[tuple[str, str]]
) -> tuple[float, ...]:
    """The log-likelihood (nats) of each (question, answer)'s answer, its end of turn left out.

    Args:
        chat_template: what the question is asked through; empty: as it is, with an empty line after it.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = model.to(device).eval()
    return tuple(
        _log_likelihood(model, *_tokens(tokenizer, chat_template, question, answer))
        for question, answer in exchanges
    )


def _tokens(tokenizer: Any, chat_template: str, question: str, answer: str) -> tuple[list[int], int]:
    """The tokens of question and answer, and where the answer's begin."""
    prompt = f"{question}\n\n"
    if chat_template:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            chat_template=chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
    begins = len(tokenizer(prompt, add_special_tokens=not chat_template)["input_ids"])
    return tokenizer(prompt + answer, add_special_tokens=not chat_template)["input_ids"], begins


def _log_likelihood(model: Any, tokens: list[int], begins: int) -> float:
    """The sum over the tokens from `begins` on, in nats."""
    with torch.inference_mode():
        shown = torch.tensor([tokens], device=model.device)
        logits = model(input_ids=shown).logits[0, begins - 1 : -1].float()  # [answer's tokens, vocabulary]
        told = logits.log_softmax(dim=-1).gather(1, shown[0, begins:, None])
    return float(told.sum())
