"""A conversation as the gateway captured it is told once, in every dialect, streamed or whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Asked, Run, Say, scripted_llm
from small_world import make_hub, open_world
from test_model_calls import apis, ask

from posttrainbench.gateways.dialects import Dialect
from posttrainbench.gateways.socket_gateway import Llm
from posttrainbench.stores.calls import read_calls
from posttrainbench.task import Policy
from posttrainbench.transcribing.captured import DIALECTS, read_captured
from posttrainbench.transcript import CapturedCall, EventKind, TranscriptEvent

SHELL = {
    "anthropic": {"name": "Bash", "input_schema": {}},
    "responses": {"type": "function", "name": "shell"},
    "chat": {"type": "function", "function": {"name": "bash"}},
    "gemini": {"functionDeclarations": [{"name": "run_shell_command"}]},
}


def conversation(dialect: str, results: list[str]) -> dict[str, Any]:
    """A request that repeats all turns until now: the task, then calls and results."""
    turns: list[dict[str, Any]]
    if dialect == "gemini":
        turns = [{"role": "user", "parts": [{"text": "train it"}]}]
        for result in results:
            turns.append({"role": "model", "parts": [{"functionCall": {"name": "run_shell_command"}}]})
            response = {"name": "run_shell_command", "response": {"output": result}}
            turns.append({"role": "user", "parts": [{"functionResponse": response}]})
        return {"contents": turns, "systemInstruction": {"parts": [{"text": "be brief"}]}}
    turns = [{"role": "user", "content": "train it"}]
    for number, result in enumerate(results):
        name = f"call_{number}"
        if dialect == "anthropic":
            turns.append({"role": "assistant", "content": [{"type": "tool_use", "id": name}]})
            block = {"type": "tool_result", "tool_use_id": name, "content": result}
            turns.append({"role": "user", "content": [{**block, "cache_control": {"type": "ephemeral"}}]})
        elif dialect == "responses":
            turns.append({"type": "function_call", "call_id": name, "name": "shell", "arguments": "{}"})
            turns.append({"type": "function_call_output", "call_id": name, "output": result})
        else:
            turns.append({"role": "assistant", "tool_calls": [{"id": name}]})
            turns.append({"role": "tool", "tool_call_id": name, "content": result})
    if dialect == "anthropic":
        return {"messages": turns, "system": [{"type": "text", "text": "be brief"}]}
    if dialect == "responses":
        return {"input": turns, "instructions": "be brief"}
    return {"messages": [{"role": "system", "content": "be brief"}, *turns]}


def script(asked: Asked) -> Say | Run:
    return Run(f"sh step{asked.results}.sh") if asked.results < 2 else Say("All done.")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


def captured(hub: Path, path: Path, dialect: str, stream: bool) -> list[TranscriptEvent]:
    with scripted_llm(script) as llm, open_world(Policy.PAPER, hub, llm=Llm(apis(llm)), calls=path) as world:
        llm.parts = 3
        for results in ([], ["same"], ["same", "same"]):
            tools = {"tools": [SHELL[dialect]]}
            assert ask(world, dialect, stream, **conversation(dialect, results), **tools)[0] == 200
        world.wait_for(lambda: len(list(read_calls(path))) == 3)
    return list(read_captured(read_calls(path), {1: 10.0, 2: 20.0, 3: 30.0}))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", SHELL)
def test_a_conversation_is_told_once(hub: Path, tmp_path: Path, dialect: str, stream: bool) -> None:
    events = captured(hub, tmp_path / "calls.jsonl.zst", dialect, stream)
    told = [(e.kind, e.text) for e in events if e.kind is not EventKind.TOOL_CALL]
    assert told == [
        (EventKind.SYSTEM, "be brief"),
        (EventKind.PROMPT, "train it"),
        (EventKind.TOOL_RESULT, "same"),
        (EventKind.TOOL_RESULT, "same"),
        (EventKind.TEXT, "All done."),
    ]
    calls = [e for e in events if e.kind is EventKind.TOOL_CALL]
    assert [json.loads(call.text)["command"] for call in calls] == ["sh step0.sh", "sh step1.sh"]
    assert all(call.tool and call.model for call in calls)
    assert [call.at_s for call in calls] == [10.0, 20.0]
    assert events[0].at_s is not None and 9.0 < events[0].at_s <= 10.0


def test_every_dialect_has_a_reader() -> None:
    assert set(DIALECTS) == set(map(str, Dialect))


def call(dialect: str, response: str, **more: Any) -> CapturedCall:
    return CapturedCall(**{  # type: ignore[arg-type]
        "number": 1, "dialect": dialect, "model": "m", "status": 200, "error": "", "wall_s": 1.0,
        "request": {}, "response": response, **more,
    })  # fmt: skip


def test_a_failed_call_is_told() -> None:
    refused = json.dumps({"error": {"message": "overloaded"}})
    (told,) = read_captured([call("openai-chat", refused, status=529)], {})
    assert (told.kind, told.failed) == (EventKind.NOTE, True)
    assert "529" in told.text and "overloaded" in told.text


def test_an_answer_that_was_cut_off_is_told_as_far_as_it_came() -> None:
    parts = [{"choices": [{"delta": {"content": word}}]} for word in ("half ", "of it")]
    body = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + 'data: {"choices": [{"de'
    said = list(read_captured([call("openai-chat", body, error="the answer broke off")], {}))
    assert [e.text for e in said if e.kind is EventKind.TEXT] == ["half of it"]


def test_reasoning_and_arguments_that_come_in_pieces_are_put_together() -> None:
    thinking, tool = {"type": "thinking", "thinking": ""}, {"type": "tool_use", "id": "t", "name": "Bash"}
    pieces: list[dict[str, Any]] = [
        {"index": 0, "content_block": thinking},
        {"index": 0, "delta": {"thinking": "let "}},
        {"index": 0, "delta": {"thinking": "me see"}},
        {"index": 1, "content_block": tool},
        {"index": 1, "delta": {"partial_json": '{"comm'}},
        {"index": 1, "delta": {"partial_json": 'and": "ls"}'}},
    ]
    kinds = ("content_block_delta", "content_block_start")
    events = [{"type": kinds["content_block" in piece], **piece} for piece in pieces]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    thought, asked = read_captured([call("anthropic-messages", body)], {})
    assert (thought.kind, thought.text) == (EventKind.REASONING, "let me see")
    assert (asked.kind, json.loads(asked.text)) == (EventKind.TOOL_CALL, {"command": "ls"})


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "hostile", ["[[[[", "null", '{"choices": 3}', '{"type": []}', "data: 7\ndata: {", '{"candidates": [[]]}']
)
def test_no_answer_or_request_breaks_the_reader(dialect: str, hostile: str) -> None:
    request = {
        "messages": [3, {"role": 4, "content": {}}],
        "input": [[]],
        "contents": {"parts": 1},
        "system": 9,
    }
    list(read_captured([call(dialect, hostile, request=request)], {}))
