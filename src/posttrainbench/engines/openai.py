"""The `openai` engine: a model behind any server that speaks OpenAI's chat completions (vLLM, SGLang, ...).

The server applies its own chat template, its own tool parser and its own sampling settings; nothing here can
set or check them. Whoever starts a server chooses them there.

Covered: many requests in flight; rate limits, overload, hangs and broken connections (tried again a bounded
number of times, longer apart each time); a token limit beyond the model's context (asked again with a lower
one, which the sample records). What brings no answer after that is an error of its sample, never an empty
answer. Not covered: a server that serves another model than it says, or answers nonsense in the right form.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolFunction, ToolInfo
from tenacity import wait_random_exponential
from tenacity.wait import WaitBaseT

from posttrainbench import setting
from posttrainbench.engines.chat_messages import contents_of, tool_calls, tool_schema
from posttrainbench.engines.token_limits import LEAST_TOKENS, LOWERED, Lowered
from posttrainbench.engines.tool_calls import Format, taken_apart
from posttrainbench.errors import SetupError, UnknownName

BASE_URL, API_KEY = "PTB_ENGINE_BASE_URL", "PTB_ENGINE_API_KEY"
IN_FLIGHT, TIMEOUT_S = "PTB_ENGINE_IN_FLIGHT", "PTB_ENGINE_TIMEOUT_S"
PLACES = 256  # what a vLLM server decodes side by side unless it is told otherwise
LONGEST_S = 3600.0  # for one completion: 16,000 tokens in a full batch take their time
PROVIDER = "served"  # what Inspect's logs put before the model's name
WORTH_A_RETRY = {408, 409, 425, 429}  # and every 5xx
LONGEST_BACKOFF_S = 60.0
PATIENCE_S = 120.0  # a server that has been away for so long is not waited for
LOOK_TIMEOUT_S = 20.0
SAID_CHARACTERS = 300
STOP_REASONS: Mapping[str, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
SETTINGS = ("max_tokens", "temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")

_LENGTH = re.compile(r"context (?:length|window|size)|max_(?:completion_|new_)?tokens", re.IGNORECASE)
_CONTEXT = re.compile(r"context (?:length|window|size)\D{0,30}(\d+)", re.IGNORECASE)
_PROMPT = re.compile(r"(\d+) (?:input tokens|(?:tokens )?in the (?:messages|prompt|input))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a model is served, and how many requests it gets at once."""

    base_url: str  # up to and without /chat/completions
    api_key: str | None = field(default=None, repr=False)
    in_flight: int = PLACES
    timeout_s: float = LONGEST_S
    attempts: int = 8
    settings: Mapping[str, object] = field(default_factory=dict)  # of each request; its task's come first
    tool_formats: tuple[Format, ...] = ()  # to read calls in that the server's own parser leaves as text


def server_from(environment: Mapping[str, str], **options: str | None) -> Server:
    """The server that the variables PTB_ENGINE_* name; `options` (base_url, api_key, ...) come first.

    Raises:
        SetupError: no server is named, or a value cannot be read; the text holds the fix.
    """

    def told(name: str) -> str | None:
        return options.get(name.removeprefix("PTB_ENGINE_").lower()) or environment.get(name) or None

    base_url = told(BASE_URL)
    if base_url is None:
        raise SetupError(
            f"the openai engine needs a server: give --base-url or set {BASE_URL}, "
            "such as http://localhost:8000/v1"
        )
    if not base_url.startswith(("http://", "https://")):
        raise SetupError(f"{base_url!r} is no server's address; one starts with http:// or https://")
    return Server(
        base_url=base_url.rstrip("/").removesuffix("/chat/completions"),
        api_key=told(API_KEY),
        in_flight=int(setting.number(IN_FLIGHT, told(IN_FLIGHT), PLACES, at_least=1)),
        timeout_s=setting.number(TIMEOUT_S, told(TIMEOUT_S), LONGEST_S, at_least=0.001),
    )


def check_served(name: str, server: Server) -> None:
    """Nothing, when the server can be reached and does not deny that it serves `name`.

    Raises:
        SetupError: it cannot, or refuses us, or serves other models; the text says what to do.
    """
    try:
        reply = httpx.get(f"{server.base_url}/models", headers=_key(server), timeout=LOOK_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = str(error) or type(error).__name__
        raise SetupError(f"no server answers at {server.base_url} ({why}); is it started?") from None
    if reply.status_code in (401, 403):
        raise SetupError(f"{server.base_url} refuses the key (status {reply.status_code}); set {API_KEY}")
    try:
        names = [str(model["id"]) for model in reply.json()["data"]]
    except (ValueError, LookupError, TypeError):
        return  # it has no such list
    if names and name not in names:
        raise UnknownName("served model", name, names)


def served_model(name: str, server: Server) -> Model:
    """A served model as Inspect calls it."""
    # Unless it is told, Inspect starts with 20 in flight, never goes beyond 100, and tries again for ever.
    config = GenerateConfig(max_connections=server.in_flight, max_retries=server.attempts - 1)
    model = get_model(f"{PROVIDER}/{name}", config=config, memoize=False, server=server)
    shown = {field.name: getattr(server, field.name) for field in fields(server) if field.name != "api_key"}
    model.model_args = {"server": shown}  # what logs keep: they are published
    return model


class OpenAIEngine:
    """Asks a server. The model that it is given is the name under which the server serves it."""

    name = "openai"

    def __init__(self, server: Server | None = None) -> None:
        """Without a server, the one that the environment names."""
        self._server = server or server_from(os.environ)

    def inspect_model(self, model: Path, chat_template: str) -> Model:
        """The served model as Inspect calls it.

        Raises:
            SetupError: a chat template was given; prompts go through the server's and no other.
        """
        if chat_template:
            raise SetupError("the openai engine cannot set a chat template; start the server with it")
        return served_model(model.as_posix(), self._server)


class _Refusal(Exception):
    """A reply with an error status, and what it says."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}: {said}")
        self.status, self.said = status, said


class _Unreadable(Exception):
    """A reply that is no chat completion."""


@modelapi(name=PROVIDER)
class ServedAPI(ModelAPI):
    """Inspect's view of a served model."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        server: Server,
    ) -> None:
        super().__init__(model_name, base_url or server.base_url, api_key, config=config or GenerateConfig())
        self._server = server
        self._session: tuple[asyncio.AbstractEventLoop, aiohttp.ClientSession] | None = None
        self._away_since_s: float | None = None

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        body = self._body(input, tools, tool_choice, config)
        asked: int | None = body.get("max_tokens")
        while True:
            try:
                reply = await self._post(body)
                break
            except _Refusal as refusal:
                lower = _lower_limit(refusal, body.get("max_tokens"))
                if lower is None:
                    raise
                body["max_tokens"] = lower
        given: int = body.get("max_tokens", 0)
        lowered = None if asked is None or given == asked else Lowered(asked, given, "context")
        formats = self._server.tool_formats if tools and tool_choice != "none" else ()
        return _output(reply, self.model_name, lowered, formats)

    def _body(
        self,
        messages: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> dict[str, Any]:
        body: dict[str, Any] = dict(self._server.settings)
        body |= {"model": self.model_name, "messages": [_turn(m) for m in messages]}
        settings = {name: getattr(config, name) for name in SETTINGS} | {"stop": config.stop_seqs}
        body |= {name: value for name, value in settings.items() if value is not None}
        if tools:
            body["tools"] = [tool_schema(tool) for tool in tools]
            body["tool_choice"] = _choice(tool_choice)
        return body

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        """A reply to one request."""
        url = f"{self._server.base_url}/chat/completions"
        async with self._session_here().post(url, json=body) as response:
            status, text = response.status, await response.text(errors="replace")
        self._away_since_s = None
        if status != HTTPStatus.OK:
            raise _Refusal(status, _said_in(text))
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise _Unreadable("a reply that is no JSON object")
        return reply

    def _session_here(self) -> aiohttp.ClientSession:
        """The connections of the running event loop; another loop than last time gets its own."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._session[0] is not loop:
            self._session = (loop, _session(self._server))
        return self._session[1]

    async def aclose(self) -> None:
        if self._session is not None and self._session[0] is asyncio.get_running_loop():
            await self._session[1].close()
            self._session = None

    def should_retry(self, ex: Exception) -> bool:
        if isinstance(ex, _Refusal):
            return ex.status in WORTH_A_RETRY or ex.status >= 500
        if isinstance(ex, aiohttp.ClientConnectorError):
            self._away_since_s = self._away_since_s or time.monotonic()
            return time.monotonic() - self._away_since_s < PATIENCE_S
        return isinstance(ex, (aiohttp.ClientError, TimeoutError, _Unreadable))

    def retry_wait(self) -> WaitBaseT:
        return wait_random_exponential(multiplier=1, max=LONGEST_BACKOFF_S)

    def connection_key(self) -> str:
        return self._server.base_url


def _session(server: Server) -> aiohttp.ClientSession:
    """A connection for each request in flight. (A pool of httpx costs 2 ms of CPU per request at 256.)"""
    connector = aiohttp.TCPConnector(limit=server.in_flight, ssl=httpx.create_ssl_context())
    timeout = aiohttp.ClientTimeout(total=server.timeout_s)
    return aiohttp.ClientSession(connector=connector, headers=_key(server), timeout=timeout, trust_env=True)


def _key(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}


def _turn(message: ChatMessage) -> dict[str, Any]:
    """A message as servers know it."""
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if isinstance(message, ChatMessageAssistant) and message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if isinstance(message, ChatMessageTool):
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _choice(choice: ToolChoice) -> object:
    if isinstance(choice, ToolFunction):
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice == "any" else choice


# --- replies ------------------------------------------------------------------------------------------------


def _output(
    reply: dict[str, Any], model: str, lowered: Lowered | None, formats: tuple[Format, ...]
) -> ModelOutput:
    try:
        choice = reply["choices"][0]
        said = choice["message"]
        text = said.get("content") or ""
        thoughts = said.get("reasoning_content") or said.get("reasoning") or ""
        calls = [_call(call) for call in said.get("tool_calls") or ()]
        stop = STOP_REASONS.get(choice.get("finish_reason"), "unknown")
        if not calls and (spoken := taken_apart(text, formats)).calls:
            text, calls = spoken.text, tool_calls(spoken)
            stop = stop if stop == "max_tokens" else "tool_calls"
        message = ChatMessageAssistant(
            content=contents_of(text, thoughts), tool_calls=calls or None, model=model, source="generate"
        )
        return ModelOutput(
            model=model,
            choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
            usage=_usage(reply.get("usage")),
            metadata={LOWERED: asdict(lowered)} if lowered else None,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _Unreadable(f"a reply that is no chat completion: {type(error).__name__}") from None


def _call(call: dict[str, Any]) -> ToolCall:
    """A tool call; arguments that are no JSON object make it a wrong one, not an error of ours."""
    function = call["function"]
    written, why = function.get("arguments") or "{}", None
    try:
        arguments = json.loads(written) if isinstance(written, str) else written
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        arguments, why = {}, "its arguments are no JSON object"
    return ToolCall(
        id=str(call.get("id") or function["name"]),
        function=str(function["name"]),
        arguments=arguments,
        parse_error=why,
    )


def _usage(usage: dict[str, Any] | None) -> ModelUsage | None:
    """What the server says that it took, or None when it does not say."""
    if usage is None:
        return None
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    return ModelUsage(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)


def _said_in(text: str) -> str:
    """What an error reply says, in one line."""
    try:
        error = json.loads(text)
        error = error.get("error", error)
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return " ".join(str(text).split())[:SAID_CHARACTERS] or "nothing said"


def _lower_limit(refusal: _Refusal, limit: int | None) -> int | None:
    """The token limit to ask with next; None when the refusal is about something else, or nothing is left.

    Servers that say how long the context and the prompt are get what remains; others get half of it.
    """
    if limit is None or refusal.status not in (400, 413, 422) or not _LENGTH.search(refusal.said):
        return None
    context, prompt = _CONTEXT.search(refusal.said), _PROMPT.search(refusal.said)
    room = int(context[1]) - int(prompt[1]) if context and prompt else limit
    lower = room if room < limit else limit // 2
    return lower if lower >= LEAST_TOKENS else None
