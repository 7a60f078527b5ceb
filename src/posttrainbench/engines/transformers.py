"""The `transformers` engine: any causal model on a CPU or a GPU, in batches.

Prompts go through the chat template that it is given, never through one that lies with the model. Sampling
follows the model's (admitted) generation settings. Nothing is asked of a hub: the model is a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from posttrainbench.engines.batching import Batcher

BATCH_SIZE = 64
IN_FLIGHT = 1024  # samples that may wait for a place in a batch; they cost memory, not compute


@dataclass(frozen=True, slots=True)
class Prompt:
    """One rendered prompt and how far its completion may go."""

    tokens: tuple[int, ...]
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """The tokens after a prompt, without the end-of-text token; `cut` when the limit ended them."""

    text: str
    n_tokens: int
    cut: bool


class LoadedModel:
    """A model and its tokenizer in memory."""

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
        self.end_tokens = _end_tokens(self.model.generation_config.eos_token_id)
        torch.manual_seed(0)

    def render(self, messages: list[dict[str, str]]) -> tuple[int, ...]:
        """Messages as tokens, ready for the assistant's turn."""
        text = self.tokenizer.apply_chat_template(
            messages, chat_template=self.chat_template, add_generation_prompt=True, tokenize=False
        )
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """A completion per prompt, in order; all prompts of a call have the same limit."""
        width = max(len(prompt.tokens) for prompt in prompts)
        padding = self.model.generation_config.pad_token_id or 0
        rows = [[padding] * (width - len(p.tokens)) + list(p.tokens) for p in prompts]
        mask = [[0] * (width - len(p.tokens)) + [1] * len(p.tokens) for p in prompts]
        out = self.model.generate(
            input_ids=torch.tensor(rows, device=self.device),
            attention_mask=torch.tensor(mask, device=self.device),
            max_new_tokens=prompts[0].max_new_tokens,
            pad_token_id=padding,
        )
        return [self._completion(row[width:]) for row in out.tolist()]

    def _completion(self, tokens: list[int]) -> Completion:
        end = next((place for place, token in enumerate(tokens) if token in self.end_tokens), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return Completion(text, len(tokens[:end]), cut=end is None)


@modelapi(name="transformers")
class TransformersAPI(ModelAPI):
    """Inspect's view of a loaded model. The model's name is its folder."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        chat_template: str = "",
    ) -> None:
        super().__init__(model_name, base_url, api_key, config=config or GenerateConfig())
        self.chat_template = chat_template
        self.batcher = Batcher[Prompt, Completion](
            lambda prompts: self.loaded.complete(prompts),  # noqa: PLW0108 - not loaded yet
            BATCH_SIZE,
            lambda prompt: prompt.max_new_tokens,
            lambda prompt: len(prompt.tokens),
        )

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, loaded when it is first asked: Inspect makes instances only to look at their names."""
        return LoadedModel(Path(self.model_name), self.chat_template)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],  # noqa: ARG002 - Inspect's signature; our tasks name tools in the prompt
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,
    ) -> ModelOutput:
        messages = [{"role": message.role, "content": message.text} for message in input]
        prompt = Prompt(self.loaded.render(messages), config.max_tokens or 1024)
        done = await self.batcher.ask(prompt)
        message = ChatMessageAssistant(content=done.text, model=self.model_name, source="generate")
        total = len(prompt.tokens) + done.n_tokens
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason="max_tokens" if done.cut else "stop")],
            usage=ModelUsage(
                input_tokens=len(prompt.tokens), output_tokens=done.n_tokens, total_tokens=total
            ),
        )

    def max_connections(self) -> int:
        return IN_FLIGHT


class TransformersEngine:
    """Loads a model folder with `transformers`."""

    name = "transformers"

    def inspect_model(self, model: Path, chat_template: str) -> Model:
        """The model at `model` as Inspect calls it, prompted through `chat_template` and no other."""
        return get_model(f"transformers/{model}", chat_template=chat_template, memoize=False)


def _end_tokens(ids: int | list[int] | None) -> frozenset[int]:
    if ids is None:
        return frozenset()
    return frozenset(ids if isinstance(ids, list) else [ids])
