"""The four ways in which programs speak to an LLM, as far as a gateway must understand them.

Which paths generate, what an error looks like that a CLI shows, what a response says of tokens, which tools
of a request would run at the provider. Texts in, facts out; nothing here touches a network.

Sources: the providers' API references (Anthropic Messages, OpenAI Responses, OpenAI Chat Completions, Gemini
generateContent).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
BYTES_PER_TOKEN = 4


class Dialect(StrEnum):
    """How a request for tokens is worded."""

    ANTHROPIC = "anthropic-messages"
    RESPONSES = "openai-responses"
    CHAT = "openai-chat"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for. Only a route that generates costs anything."""

    dialect: Dialect
    generates: bool
    model: str | None = None  # where the path names it


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `input_tokens` holds the cached ones, `output_tokens` those of reasoning."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0  # of which cache_write_1h_tokens are kept for an hour
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    searches: int = 0  # web searches that the provider ran


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response says of itself. `complete`: it came to its end, so that `usage` is all of it."""

    model: str | None
    usage: Usage | None
    complete: bool


_GENERATE = re.compile(
    r"/v1(?:beta|alpha)?/models/([\w.@-]+):(generateContent|streamGenerateContent|countTokens)"
)
_PLAIN = {
    ("POST", "/v1/messages"): Route(Dialect.ANTHROPIC, True),
    ("POST", "/v1/messages/count_tokens"): Route(Dialect.ANTHROPIC, False),
    ("POST", "/v1/responses"): Route(Dialect.RESPONSES, True),
    ("POST", "/v1/chat/completions"): Route(Dialect.CHAT, True),
    ("GET", "/v1/models"): Route(Dialect.CHAT, False),
}


def read_route(method: str, path: str) -> Route | None:
    """What `method` and `path` (without the API's own prefix) ask for; None for what no agent needs."""
    found = _PLAIN.get((method, path))
    if found is not None:
        return found
    match = _GENERATE.fullmatch(path)
    if match is None or method != "POST":
        return None
    return Route(Dialect.GEMINI, match[2] != "countTokens", match[1])


def error_body(dialect: Dialect, status: int, message: str) -> bytes:
    """An error as the dialect's clients print it."""
    if dialect is Dialect.ANTHROPIC:
        return json.dumps(
            {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        ).encode()
    if dialect is Dialect.GEMINI:
        kind = "PERMISSION_DENIED" if status in (401, 403) else "FAILED_PRECONDITION"
        return json.dumps({"error": {"code": status, "message": message, "status": kind}}).encode()
    return json.dumps(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    ).encode()


# --- requests -----------------------------------------------------------------------------------------------


def count_tokens_of_stream(dialect: Dialect, request: Json) -> Json:
    """`request`, asking for the usage at the end of a stream where the dialect leaves it out unless asked."""
    if dialect is not Dialect.CHAT or not request.get("stream"):
        return request
    options = request.get("stream_options")
    return {
        **request,
        "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True},
    }


def provider_tools(dialect: Dialect, request: Json) -> list[str]:
    """Names of the tools that the provider would run on its own side, past any sandbox."""
    named = [_provider_tool(dialect, tool) for tool in _tools(request)]
    return [
        *filter(None, named),
        *(name for name in _SWITCHES.get(dialect, ()) if request.get(name, "") != ""),
    ]


def without_provider_tools(dialect: Dialect, request: Json) -> Json:
    """`request` without the tools that `provider_tools` names."""
    kept = {name: value for name, value in request.items() if name not in _SWITCHES.get(dialect, ())}
    tools = [tool for tool in _tools(request) if not _provider_tool(dialect, tool)]
    if len(tools) == len(_tools(request)):
        return kept
    # A choice may name what is gone; without it, the model chooses among what is left.
    kept = {name: value for name, value in kept.items() if name not in ("tools", "tool_choice", "toolConfig")}
    return {**kept, "tools": tools} if tools else kept


def provider_fetches(dialect: Dialect, request: Json) -> list[str]:
    """What the provider would look up by itself for a request, whatever its tools: addresses, or "search"."""
    model = request.get("model")
    searches = dialect is Dialect.CHAT and isinstance(model, str) and _SEARCHING.search(model)
    found = ["search"] if searches else []
    waiting: list[Any] = [value for name, value in request.items() if name != "tools"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            found += [address for address in _addresses(value) if not address.startswith("data:")]
            called = _CALLS & value.keys() if value.get("type") in (None, *_CALL_TYPES) else ()
            waiting += [inner for name, inner in value.items() if name not in called]
    return found


# Beside tools: what makes a provider, or a broker of providers, search or call other servers.
_SWITCHES = {
    Dialect.CHAT: ("web_search_options", "plugins", "search_parameters", "enable_search"),
    Dialect.ANTHROPIC: ("mcp_servers",),
}
_SEARCHING = re.compile(r"-search-|:online$")  # models that search unasked
_CALLS = {"input", "args", "response"}  # what the client's own tools were told and said: nobody fetches that
_CALL_TYPES = ("tool_use", "tool_result")


def _addresses(part: Json) -> Iterator[str]:
    """The addresses from which the provider would fetch a part of a message."""
    image = part.get("image_url")
    named = [image.get("url") if isinstance(image, dict) else image, part.get("file_url")]
    named += [
        part.get("fileUri"),
        part.get("file_uri"),
        part.get("url") if part.get("type") == "url" else None,
    ]
    yield from (address for address in named if isinstance(address, str))


_CLIENT_TOOLS = {
    Dialect.ANTHROPIC: re.compile(r"custom|(bash|text_editor|memory|computer)_\d+"),
    Dialect.RESPONSES: re.compile(r"function|custom|local_shell|shell|apply_patch|namespace"),
    Dialect.CHAT: re.compile(r"function|custom"),
}


def _provider_tool(dialect: Dialect, tool: object) -> str | None:
    """The name of a tool that runs at the provider, None for one that the client runs."""
    if not isinstance(tool, dict):
        return "?"
    if dialect is Dialect.GEMINI:
        names = [name for name in tool if name.casefold().replace("_", "") != "functiondeclarations"]
        return names[0] if names else None
    kind = tool.get("type", "custom")
    place = tool.get("environment")
    if kind == "shell" and isinstance(place, dict) and place.get("type") != "local":
        return "shell in a container of the provider's"
    return None if isinstance(kind, str) and _CLIENT_TOOLS[dialect].fullmatch(kind) else str(kind)


def _tools(request: Json) -> list[Any]:
    tools = request.get("tools")
    if isinstance(tools, list):
        return tools
    return [tools] if tools else []


# --- responses ----------------------------------------------------------------------------------------------


def read_response(dialect: Dialect, body: bytes) -> Reading:
    """What a response, whole or streamed, whole or cut off, says of its model and tokens."""
    try:
        return _READERS[dialect](list(_messages(body)))
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
        return Reading(None, None, False)


def estimate(reading: Reading, request: bytes, body: bytes) -> Usage:
    """About what a call took that broke off before it said so: nobody is to get calls for free by hanging up.

    Input as long as the request; as much output as the stream has events, or the text is long.
    """
    told = reading.usage or Usage(len(request) // BYTES_PER_TOKEN, 0)
    output_tokens = body.count(b"\ndata:") or len(body) // BYTES_PER_TOKEN
    return replace(told, output_tokens=max(told.output_tokens, output_tokens))


def _messages(body: bytes) -> Iterator[Json]:
    """The JSON objects of a body: its only one, those of a list, or those of a stream of events."""
    text = body.decode("utf-8", "replace").strip()
    if text[:1] in ("{", "["):
        whole = json.loads(text)
        yield from whole if isinstance(whole, list) else [whole]
        return
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        try:
            message = json.loads(line[5:])
        except ValueError:
            continue  # [DONE], or a line that was cut off
        if isinstance(message, dict):
            yield message


def _read_anthropic(messages: list[Json]) -> Reading:
    model, counts, complete = None, Counts({}), False
    for message in messages:
        kind = message.get("type")
        inner = message.get("message", {}) if kind == "message_start" else message
        model = inner.get("model") or model
        counts = counts.updated(inner.get("usage"))
        complete = complete or kind in ("message", "message_stop")
    if not counts.fields:
        return Reading(model, None, False)
    cached, written = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
    usage = Usage(
        input_tokens=counts["input_tokens"] + cached + written,
        output_tokens=counts["output_tokens"],
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=counts.inside("cache_creation")["ephemeral_1h_input_tokens"],
        searches=counts.inside("server_tool_use")["web_search_requests"],
    )
    return Reading(model, usage, complete)


def _read_responses(messages: list[Json]) -> Reading:
    model, counts, complete, searches = None, Counts({}), False, 0
    for message in messages:
        inner = message["response"] if isinstance(message.get("response"), dict) else message
        model = inner.get("model") or model
        counts = counts.updated(inner.get("usage"))
        if inner.get("usage"):
            complete = True
            searches = sum(item.get("type") == "web_search_call" for item in inner.get("output") or ())
    if not counts.fields:
        return Reading(model, None, False)
    usage = Usage(
        input_tokens=counts["input_tokens"],
        output_tokens=counts["output_tokens"],
        cached_tokens=counts.inside("input_tokens_details")["cached_tokens"],
        reasoning_tokens=counts.inside("output_tokens_details")["reasoning_tokens"],
        searches=searches,
    )
    return Reading(model, usage, complete)


def _read_chat(messages: list[Json]) -> Reading:
    model, counts = None, Counts({})
    for message in messages:
        model = message.get("model") or model
        counts = counts.updated(message.get("usage"))
    if not counts.fields:
        return Reading(model, None, False)
    usage = Usage(
        input_tokens=counts["prompt_tokens"],
        output_tokens=counts["completion_tokens"],
        cached_tokens=counts.inside("prompt_tokens_details")["cached_tokens"],
        reasoning_tokens=counts.inside("completion_tokens_details")["reasoning_tokens"],
    )
    return Reading(model, usage, True)


def _read_gemini(messages: list[Json]) -> Reading:
    model, counts, complete, searches = None, Counts({}), False, 0
    for message in messages:
        model = message.get("modelVersion") or model
        counts = counts.updated(message.get("usageMetadata"))
        for candidate in message.get("candidates") or ():
            complete = complete or bool(candidate.get("finishReason"))
            grounding = candidate.get("groundingMetadata") or {}
            searches = max(searches, len(grounding.get("webSearchQueries") or ()))
    if not counts.fields:
        return Reading(model, None, False)
    thoughts = counts["thoughtsTokenCount"]
    usage = Usage(
        input_tokens=counts["promptTokenCount"] + counts["toolUsePromptTokenCount"],
        output_tokens=counts["candidatesTokenCount"] + thoughts,
        cached_tokens=counts["cachedContentTokenCount"],
        reasoning_tokens=thoughts,
        searches=searches,
    )
    return Reading(model, usage, complete)


_READERS: dict[Dialect, Callable[[list[Json]], Reading]] = {
    Dialect.ANTHROPIC: _read_anthropic,
    Dialect.RESPONSES: _read_responses,
    Dialect.CHAT: _read_chat,
    Dialect.GEMINI: _read_gemini,
}


@dataclass(frozen=True, slots=True)
class Counts:
    """A usage object as it came; what it does not name, or names without a number, counts 0."""

    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> int:
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

    def inside(self, name: str) -> Counts:
        value = self.fields.get(name)
        return Counts(value if isinstance(value, dict) else {})

    def updated(self, later: object) -> Counts:
        """With what a later message of the same stream says; such counts are cumulative."""
        if not isinstance(later, dict):
            return self
        said = {name: value for name, value in later.items() if value is not None}
        return Counts({**self.fields, **said})
