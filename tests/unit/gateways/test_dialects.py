"""What a request makes a provider do by itself, past any sandbox: seen, and taken out where that can be."""

from __future__ import annotations

from typing import Any

import pytest

from posttrainbench.gateways.dialects import (
    Dialect,
    provider_fetches,
    provider_tools,
    without_provider_tools,
)

URL = "https://far.example/paper.pdf"
ANTHROPIC, RESPONSES, CHAT, GEMINI = Dialect.ANTHROPIC, Dialect.RESPONSES, Dialect.CHAT, Dialect.GEMINI


def turn(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


FETCHES: list[tuple[Dialect, dict[str, Any]]] = [
    (ANTHROPIC, turn({"type": "document", "source": {"type": "url", "url": URL}})),
    (
        ANTHROPIC,
        turn({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]}),
    ),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": URL}]}]}),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]}),
    (CHAT, turn({"type": "image_url", "image_url": {"url": URL}})),
    (GEMINI, {"contents": [{"parts": [{"fileData": {"fileUri": URL}}]}]}),
    (GEMINI, {"contents": [{"parts": [{"file_data": {"file_uri": URL}}]}]}),
]


@pytest.mark.parametrize(("dialect", "request_"), FETCHES)
def test_addresses_that_the_provider_would_fetch_are_seen(dialect: Dialect, request_: dict[str, Any]) -> None:
    assert provider_fetches(dialect, request_) == [URL]


@pytest.mark.parametrize(
    ("dialect", "request_"),
    [
        (ANTHROPIC, turn({"type": "text", "text": f"see {URL}"})),
        (ANTHROPIC, turn({"type": "tool_use", "name": "WebFetch", "input": {"type": "url", "url": URL}})),
        (ANTHROPIC, {"tools": [{"name": "t", "input_schema": {"properties": {"image_url": URL}}}]}),
        (CHAT, turn({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
        (GEMINI, {"contents": [{"parts": [{"functionCall": {"name": "get", "args": {"file_url": URL}}}]}]}),
        (RESPONSES, {"input": [{"type": "function_call", "arguments": f'{{"file_url": "{URL}"}}'}]}),
        (CHAT, {"model": "gpt-5.1"}),
    ],
)
def test_what_only_speaks_of_an_address_is_no_fetch(dialect: Dialect, request_: dict[str, Any]) -> None:
    assert provider_fetches(dialect, request_) == []


@pytest.mark.parametrize("model", ["gpt-4o-search-preview", "some/model:online"])
def test_models_that_search_unasked_are_seen(model: str) -> None:
    assert provider_fetches(CHAT, {"model": model}) == ["search"]


@pytest.mark.parametrize(
    ("dialect", "switch"),
    [
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"plugins": [{"id": "web"}]}),
        (CHAT, {"search_parameters": {"mode": "on"}}),
        (ANTHROPIC, {"mcp_servers": [{"url": URL}]}),
        (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}),
        (GEMINI, {"tools": {"googleSearch": {}}}),
    ],
)
def test_every_switch_is_seen_and_taken_out(dialect: Dialect, switch: dict[str, Any]) -> None:
    kept = {"model": "m", "messages": []}
    assert len(provider_tools(dialect, {**kept, **switch})) == 1
    assert without_provider_tools(dialect, {**kept, **switch}) == kept


def test_a_choice_of_a_tool_goes_with_it_and_the_clients_tools_stay() -> None:
    mine, theirs = {"name": "Bash", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}
    asked = {"tools": [mine, theirs], "tool_choice": {"type": "tool", "name": "web_search"}}
    assert without_provider_tools(ANTHROPIC, asked) == {"tools": [mine]}
    assert provider_tools(ANTHROPIC, {"tools": [mine, {"type": "shell"}]}) == ["shell"]
    assert provider_tools(RESPONSES, {"tools": [{"type": "shell"}, {"type": "local_shell"}]}) == []
