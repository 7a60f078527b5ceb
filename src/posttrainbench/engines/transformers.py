"""The `transformers` engine: any causal model on a CPU or a GPU, many samples at once.

Prompts go through the chat template that it is given, never through one that lies with the model; an empty
template means none: the contents of the messages, one after the other. Sampling follows the model's
(admitted) generation settings, unless the task says otherwise. Nothing is asked of a hub: the model is a
folder.

A tool choice that forces a call is not enforced: the model is shown the tools and may write what it likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

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

from posttrainbench.engines.chat_messages import contents_of, plain_message, tool_calls, tool_schema
from posttrainbench.engines.decoding_process import DecodingProcess, Reply, Request
from posttrainbench.engines.token_limits import DEFAULT_MAX_TOKENS, LOWERED

IN_FLIGHT = 4096  # samples that may wait for a place; they cost memory, not compute


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
    def decoding(self) -> DecodingProcess:
        """Started when it is first asked for: Inspect makes instances only to look at their names."""
        return DecodingProcess(Path(self.model_name), self.chat_template)

    def start(self) -> None:
        """Begin to load the model, while Inspect prepares its samples."""
        _ = self.decoding

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        asked = Request(
            [plain_message(message) for message in input],
            [] if tool_choice == "none" else [tool_schema(tool) for tool in tools],
            config.max_tokens or DEFAULT_MAX_TOKENS,
            _sampling(config),
            tuple(config.stop_seqs or ()),
            config.seed or 0,
        )
        return self._output(await asyncio.wrap_future(self.decoding.submit(asked)))

    def _output(self, reply: Reply) -> ModelOutput:
        calls = tool_calls(reply.spoken)
        message = ChatMessageAssistant(
            content=contents_of(reply.spoken.text),
            tool_calls=calls or None,
            model=self.model_name,
            source="generate",
        )
        stop: StopReason = "max_tokens" if reply.cut else ("tool_calls" if calls else "stop")
        tokens = reply.n_prompt + reply.n_tokens
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
            usage=ModelUsage(input_tokens=reply.n_prompt, output_tokens=reply.n_tokens, total_tokens=tokens),
            metadata={LOWERED: asdict(reply.lowered)} if reply.lowered else None,
        )


class TransformersEngine:
    """Loads a model folder with `transformers`."""

    name = "transformers"

    def inspect_model(self, model: Path, chat_template: str) -> Model:
        """The model at `model` as Inspect calls it, prompted through `chat_template` and no other."""
        # Unless it is told, Inspect starts with 20 in flight and never goes beyond 100.
        all_at_once = GenerateConfig(max_connections=IN_FLIGHT)
        asked = get_model(
            f"transformers/{model}", chat_template=chat_template, config=all_at_once, memoize=False
        )
        api: Any = asked.api  # of our class, which the decorator above turns into a function
        api.start()
        return asked

    def log_likelihoods(
        self, model: Path, chat_template: str, exchanges: Sequence[tuple[str, str]]
    ) -> tuple[float, ...]:
        """The log-likelihood (nats) of each (question, answer)'s answer."""
        from posttrainbench.engines.likelihoods import log_likelihoods

        return log_likelihoods(model, chat_template, exchanges)


def _sampling(config: GenerateConfig) -> dict[str, float]:
    """What the task says of sampling; the rest is up to the model's settings."""
    asked = {name: getattr(config, name) for name in ("temperature", "top_k", "top_p")}
    return {name: value for name, value in asked.items() if value is not None}
