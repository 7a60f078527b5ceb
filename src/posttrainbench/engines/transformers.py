"""The `transformers` engine: any causal model on a CPU or a GPU, many samples at once.

Prompts go through the chat template that it is given, never through one that lies with the model; an empty
template means none: the contents of the messages, one after the other. Sampling follows the model's
(admitted) generation settings, unless the task says otherwise. Nothing is asked of a hub: the model is a
folder.

A tool choice that forces a call is not enforced: the model is shown the tools and may write what it likes.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
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
    StopReason,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from posttrainbench.engines.capacity import capacity_of, threads_for
from posttrainbench.engines.chat_messages import contents_of, plain_message, tool_calls, tool_schema
from posttrainbench.engines.decoding import Completion, Decoder, Prompt
from posttrainbench.engines.sampling import Sampling
from posttrainbench.engines.token_limits import DEFAULT_MAX_TOKENS, LOWERED
from posttrainbench.engines.tool_calls import FORMATS, OTHER_MODELS, taken_apart

IN_FLIGHT = 4096  # samples that may wait for a place; they cost memory, not compute


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

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, loaded when it is first asked: Inspect makes instances only to look at their names."""
        return LoadedModel(Path(self.model_name), self.chat_template)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        offered = [] if tool_choice == "none" else tools
        tokens = self.loaded.render(
            [plain_message(m) for m in input], [tool_schema(tool) for tool in offered]
        )
        prompt = Prompt(
            tokens,
            config.max_tokens or DEFAULT_MAX_TOKENS,
            _sampling(self.loaded.sampling, config),
            tuple(config.stop_seqs or ()),
            config.seed or 0,
        )
        done = await asyncio.wrap_future(self.loaded.decoder.submit(prompt))
        return self._output(len(tokens), done, with_tools=bool(offered))

    def _output(self, n_prompt: int, done: Completion, with_tools: bool) -> ModelOutput:
        spoken = taken_apart(done.text, self.loaded.tool_formats if with_tools else ())
        calls = tool_calls(spoken)
        message = ChatMessageAssistant(
            content=contents_of(spoken.text),
            tool_calls=calls or None,
            model=self.model_name,
            source="generate",
        )
        stop: StopReason = "max_tokens" if done.cut else ("tool_calls" if calls else "stop")
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
            usage=ModelUsage(
                input_tokens=n_prompt, output_tokens=done.n_tokens, total_tokens=n_prompt + done.n_tokens
            ),
            metadata={LOWERED: asdict(done.lowered)} if done.lowered else None,
        )


class TransformersEngine:
    """Loads a model folder with `transformers`."""

    name = "transformers"

    def inspect_model(self, model: Path, chat_template: str) -> Model:
        """The model at `model` as Inspect calls it, prompted through `chat_template` and no other."""
        # Unless it is told, Inspect starts with 20 in flight and never goes beyond 100.
        all_at_once = GenerateConfig(max_connections=IN_FLIGHT)
        return get_model(
            f"transformers/{model}", chat_template=chat_template, config=all_at_once, memoize=False
        )


def _sampling(settings: Sampling, config: GenerateConfig) -> Sampling:
    """The model's settings, where the task does not say otherwise."""
    return replace(
        settings,
        temperature=settings.temperature if config.temperature is None else config.temperature,
        top_k=settings.top_k if config.top_k is None else config.top_k,
        top_p=settings.top_p if config.top_p is None else config.top_p,
    )
