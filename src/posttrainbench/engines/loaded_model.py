"""A model and its tokenizer in memory: messages in, completions out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from posttrainbench.engines.capacity import capacity_of, threads_for
from posttrainbench.engines.decoding import Decoder
from posttrainbench.engines.sampling import Sampling
from posttrainbench.engines.tool_calls import FORMATS, OTHER_MODELS


class LoadedModel:
    """A model and its tokenizer in memory, ready to decode."""

    def __init__(self, folder: Path, chat_template: str) -> None:
        disable_progress_bar()  # type: ignore[no-untyped-call]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        self.model = model.to(self.device).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.chat_template = chat_template
        self.sampling = Sampling.of(self.model.generation_config)
        self.tool_formats = FORMATS.get(self.model.config.model_type, OTHER_MODELS)
        capacity = capacity_of(self.model, self.device)
        self.decoder = Decoder(self.model, self.tokenizer, capacity, threads_for(self.model))

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[int, ...]:
        """Messages as tokens, ready for the assistant's turn."""
        if not self.chat_template:
            text = "\n\n".join(message["content"] for message in messages)
            return tuple(self.tokenizer(text)["input_ids"])
        text = self.tokenizer.apply_chat_template(
            messages,
            tools=tools or None,
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
