"""What each command line prints becomes the same events, and nothing that it prints breaks the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.agents.scaffolds import scaffolds
from posttrainbench.transcribing.streams import FORMS, PLAIN_TEXT, read_stream
from posttrainbench.transcript import TEXT_CHARACTERS, EventKind, Line, TranscriptEvent

CLAUDE: list[dict[str, Any]] = [
    {"type": "system", "subtype": "init", "model": "m"},
    {"type": "assistant", "message": {"model": "m", "content": [
        {"type": "thinking", "thinking": "first look"},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}},
    {"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "a\nb", "is_error": False}]}},
    {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": "Done."}]}},
    {"type": "result", "subtype": "success", "is_error": False, "num_turns": 2, "result": "Done."},
]  # fmt: skip
COMMAND = {"id": "item_1", "type": "command_execution", "command": "ls"}
CODEX: list[dict[str, Any]] = [
    {"type": "thread.started", "thread_id": "x"},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"id": "item_0", "type": "reasoning", "text": "first look"}},
    {"type": "item.started", "item": {**COMMAND, "aggregated_output": "", "exit_code": None}},
    {"type": "item.completed", "item": {**COMMAND, "aggregated_output": "a\nb", "exit_code": 0}},
    {"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "Done."}},
    {"type": "turn.completed", "usage": {"input_tokens": 1}},
]
GEMINI: list[dict[str, Any]] = [
    {"type": "init", "model": "m"},
    {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "t1", "parameters": {"command": "ls"}},
    {"type": "tool_result", "tool_id": "t1", "status": "success", "output": "a\nb"},
    {"type": "message", "role": "assistant", "content": "Do", "delta": True},
    {"type": "message", "role": "assistant", "content": "ne.", "delta": True},
    {"type": "result", "status": "success", "stats": {}},
]
OPENCODE: list[dict[str, Any]] = [
    {"type": "step_start", "part": {"type": "step-start"}},
    {"type": "tool_use", "part": {"type": "tool", "tool": "bash", "callID": "t1", "state": {
        "status": "completed", "input": {"command": "ls"}, "output": "a\nb",
        "time": {"start": 1000, "end": 3000}}}},
    {"type": "text", "part": {"type": "text", "text": "Done."}},
    {"type": "step_finish", "part": {"reason": "stop"}},
]  # fmt: skip
MINI: list[dict[str, Any]] = [
    {
        "trajectory_format": "mini-swe-agent-1.1",
        "info": {"exit_status": "Submitted"},
        "messages": [
            {"role": "system", "content": "You use a shell."},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "t1", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "a\nb"},
            {"role": "assistant", "content": "Done."},
            {"role": "exit", "content": ""},
        ],
    }
]  # fmt: skip
PRINTED = {
    "claude-stream-json": CLAUDE,
    "codex-jsonl": CODEX,
    "gemini-stream-json": GEMINI,
    "opencode-json": OPENCODE,
    "mini-swe-agent": MINI,
}
SHELL = ("Bash", "shell", "run_shell_command", "bash")


def lines(*texts: str, every_s: float = 10.0) -> list[Line]:
    return [Line(every_s * (number + 1), text) for number, text in enumerate(texts)]


def read(form: str, values: list[dict[str, Any]]) -> list[TranscriptEvent]:
    return list(read_stream(form, lines(*map(json.dumps, values))))


def test_every_form_that_a_scaffold_names_has_a_reader() -> None:
    assert {row.transcript for row in scaffolds().values()} <= set(FORMS)
    assert set(PRINTED) == set(FORMS) - {PLAIN_TEXT}


@pytest.mark.parametrize("form", PRINTED)
def test_a_call_its_result_and_an_answer_are_the_same_events_in_every_form(form: str) -> None:
    events = read(form, PRINTED[form])
    (call,) = [e for e in events if e.kind is EventKind.TOOL_CALL]
    (result,) = [e for e in events if e.kind is EventKind.TOOL_RESULT]
    (said,) = [e for e in events if e.kind is EventKind.TEXT]
    assert call.tool in SHELL
    assert json.loads(call.text) == {"command": "ls"}
    assert call.call_id == result.call_id != ""
    assert (result.text, result.failed, said.text) == ("a\nb", False, "Done.")
    assert not [e for e in events if e.kind is EventKind.OUTPUT]
    assert call.at_s is not None and result.at_s is not None and call.at_s <= result.at_s


def test_an_indented_trajectory_is_read_too() -> None:
    printed = ["mini-swe-agent says hello", *json.dumps(MINI[0], indent=2).splitlines()]
    events = list(read_stream("mini-swe-agent", lines(*printed, every_s=0.01)))
    assert [e.kind for e in events] == [
        EventKind.OUTPUT, EventKind.SYSTEM, EventKind.TOOL_CALL, EventKind.TOOL_RESULT, EventKind.TEXT,
        EventKind.NOTE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (
            "claude-stream-json",
            {"type": "result", "subtype": "error", "is_error": True, "result": "no money"},
        ),
        ("codex-jsonl", {"type": "turn.failed", "error": {"message": "no money"}}),
        ("gemini-stream-json", {"type": "result", "status": "error", "error": {"message": "no money"}}),
        ("opencode-json", {"type": "error", "error": {"name": "X", "data": {"message": "no money"}}}),
    ],
)
def test_how_a_program_reports_failure_is_kept(form: str, value: dict[str, Any]) -> None:
    (told,) = read(form, [value])
    assert told.kind is EventKind.NOTE
    assert told.failed
    assert "no money" in told.text


def test_failed_commands_are_failures() -> None:
    failed = {**COMMAND, "aggregated_output": "no such file", "exit_code": 2}
    assert [e.failed for e in read("codex-jsonl", [{"type": "item.completed", "item": failed}])] == [
        False,
        True,
    ]


def test_plain_lines_that_come_together_are_one_event() -> None:
    printed = [Line(1.0, "step 1"), Line(1.2, "step 2"), Line(30.0, "step 3")]
    assert [(e.at_s, e.text) for e in read_stream(PLAIN_TEXT, printed)] == [
        (1.0, "step 1\nstep 2"),
        (30.0, "step 3"),
    ]


def test_a_form_that_nobody_knows_is_plain_text() -> None:
    (told,) = read("of another century", [CLAUDE[3]])
    assert told.kind is EventKind.OUTPUT


def test_a_cut_line_is_told_with_what_is_missing() -> None:
    (told,) = read_stream("claude-stream-json", [Line(1.0, '{"type": "assistant", ', 12345)])
    assert told.kind is EventKind.OUTPUT
    assert told.cut_characters == 12345


def test_a_flood_of_lines_stays_within_events_of_a_bounded_size() -> None:
    events = list(read_stream(PLAIN_TEXT, (Line(1.0, "x" * 999) for _ in range(1000))))
    assert sum(len(e.text.replace("\n", "")) for e in events) == 999_000
    assert max(len(e.text) for e in events) <= TEXT_CHARACTERS


names = st.sampled_from(
    [
        "type",
        "message",
        "content",
        "item",
        "part",
        "state",
        "input",
        "text",
        "error",
        "role",
        "messages",
        "time",
    ]
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
kinds = st.sampled_from(sorted({str(value.get("type")) for values in PRINTED.values() for value in values}))


@given(st.sampled_from(sorted(FORMS)), st.dictionaries(names, json_values), kinds)
def test_no_shape_of_line_breaks_a_reader(form: str, value: dict[str, Any], kind: str) -> None:
    for forged in ({**value, "type": kind}, {**value, "trajectory_format": "mini-swe-agent-1.1"}):
        for told in read(form, [forged]):
            assert isinstance(told.text, str)


def test_deeply_nested_json_breaks_no_reader() -> None:
    (told,) = read_stream("claude-stream-json", [Line(0.0, '{"a":' * 100_000)])
    assert told.kind is EventKind.OUTPUT
