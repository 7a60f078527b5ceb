"""A transcript on a terminal and in Inspect: all of it can be read, none of it can act."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import made_record, made_score, made_spec, made_suite
from rich.console import Console

from posttrainbench.load import GpuLoad, LoadSample
from posttrainbench.report.plot import scatter, sparkline
from posttrainbench.report.transcript import LINES_SHOWN, in_a_line, transcript_lines
from posttrainbench.report.work import WorkView
from posttrainbench.transcribing.work import Activity, ModelUse, Query, ToolUse, Work
from posttrainbench.transcript import EventKind, Source, TranscriptEvent, event

SPEC = made_spec(made_suite(), made_suite().tasks()[0])
WORK = Work(
    Source.CALLS,
    3600.0,
    40,
    (ToolUse("Bash", 30, 2), ToolUse("Ev\x1b[2Jil", 1, 0)),
    (ModelUse("m", 40, 1_000_000, 900_000, 0, 5_000, 0, None),),
    (Query(600.0, "final_model", 0.25, 0.04), Query(1800.0, "final_model", None, None)),
    dict.fromkeys(Activity, 720.0),
)


def test_every_event_has_its_time_and_what_was_done() -> None:
    events = [
        event(EventKind.TOOL_CALL, '{"command": "ls\\npwd", "description": "look"}', 3661.0, "Bash", "a"),
        event(EventKind.TOOL_RESULT, "a\n\tb", None, "", "a", failed=True),
    ]
    assert list(transcript_lines(events)) == [
        " 1:01:01  runs Bash", "    ls", "    pwd", "",
        "       ?  gets (failed)", "    a", "        b", "",
    ]  # fmt: skip
    assert in_a_line(events[0]) == "runs Bash: ls pwd"


def test_long_texts_are_cut_and_say_so() -> None:
    long = event(EventKind.OUTPUT, "x\n" * 200_000, 0.0)
    lines = list(transcript_lines([long]))
    assert len(lines) == LINES_SHOWN + 3
    assert "more lines" in lines[-2] and "characters were not kept" in lines[-2]


def test_nothing_that_an_agent_wrote_moves_the_cursor() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07 \u202eevil \r over"
    told = [event(kind, hostile, 1.0, hostile, hostile) for kind in EventKind]
    text = "\n".join([*transcript_lines(told), *map(in_a_line, told)])
    assert not set(text) & set("\x1b\x07\u202e\r")


@pytest.mark.parametrize(
    "arguments", ['{"command": ["bash", "-lc", "ls"]}', '{"cmd": "bash -lc ls"}', "bash -lc ls"]
)
def test_a_command_is_shown_as_one(arguments: str) -> None:
    assert in_a_line(event(EventKind.TOOL_CALL, arguments, 0.0, "shell")) == "runs shell: bash -lc ls"


def shown(view: WorkView) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_the_work_is_told_with_what_is_not_known_left_open() -> None:
    load = [LoadSample(at_s, at_s, 2**30, 5, 2**20, (GpuLoad(0.5, 2**31),)) for at_s in (10.0, 20.0)]
    text = shown(WorkView(WORK, load))
    for words in (
        "evaluating 12:00", "40 answers", "1,000,000 tokens in (900,000 cached)", "no price is known",
        "Bash 30 (2 failed)", "cannot forge", "2 asked for, 1 without a score; best 25.0%",
        "1.00 GiB", "50% busy",
    ):  # fmt: skip
        assert words in " ".join(text.split()), words
    assert "\x1b" not in text
    assert "evaluations" not in shown(WorkView(Work(Source.STREAM, 0.0, 0, (), (), (), {})))


def test_a_sparkline_is_as_wide_as_asked_and_leaves_gaps() -> None:
    assert sparkline([0.0, None, 8.0], 60, 8.0) == "▁ █"
    assert len(sparkline([1.0] * 3600, 60, 1.0)) == 60
    assert sparkline([0.0] * 1800 + [1.0] + [0.0] * 1799, 60, 1.0).count("█") == 1
    assert sparkline([], 60, 1.0) == ""


def test_points_stand_where_they_belong() -> None:
    lines = [line.plain for line in scatter([(0.0, 0.0), (99.0, 1.0)], 100.0, 20, 5)]
    assert len(lines) == 5
    assert lines[0].endswith("●") and lines[0].startswith("100.0%")
    assert lines[-1].index("●") == 8 and lines[-1].startswith("  0.0%")


def test_inspect_reads_the_log_that_we_write(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    from posttrainbench.stores.eval_logs import Told, write_eval_log

    events = [
        event(EventKind.SYSTEM, "be brief", 0.0),
        event(EventKind.PROMPT, "train it", 0.0),
        event(EventKind.REASONING, "how?", 5.0, model="m"),
        event(EventKind.TEXT, "so", 5.0, model="m"),
        event(EventKind.TOOL_CALL, '{"command": "ls"}', 5.0, "Bash", "a", model="m"),
        event(EventKind.TOOL_CALL, "no json \ud800", 5.0, "Patch", "b", model="m"),
        event(EventKind.TOOL_RESULT, "a", 6.0, "", "a"),
        event(EventKind.TOOL_RESULT, "broke", 6.0, "", "b", failed=True),
        event(EventKind.TEXT, "done", 7.0, model="m"),
        event(EventKind.NOTE, "session ended", 8.0),
        event(EventKind.OUTPUT, "bye", 9.0),
    ]
    record = made_record(SPEC, made_score(0.25))
    path = tmp_path / "transcript.eval"
    write_eval_log(path, Told(SPEC, record, WORK, "2026-01-01T00:00:00+00:00", "the prompt"), events)
    log = read_eval_log(str(path))
    assert (log.status, log.eval.model) == ("success", SPEC.agent.name)
    assert log.results is not None and log.results.scores[0].metrics["mean"].value == 0.25
    assert log.samples is not None
    (sample,) = log.samples
    assert [message.role for message in sample.messages] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    turn = sample.messages[2]
    assert turn.role == "assistant" and turn.text == "so"
    assert turn.tool_calls is not None
    assert [call.arguments for call in turn.tool_calls] == [{"command": "ls"}, {"input": "no json ?"}]
    assert sample.messages[4].role == "tool" and sample.messages[4].error is not None
    assert sample.model_usage["m"].input_tokens == 1_000_000
    assert sample.model_usage["m"].total_cost is None
    assert not list(tmp_path.glob(".*"))


def test_a_log_of_a_flood_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspect_ai.log import read_eval_log

    from posttrainbench.stores import eval_logs

    monkeypatch.setattr(eval_logs, "HEAD_CHARACTERS", 20_000)
    monkeypatch.setattr(eval_logs, "TAIL_CHARACTERS", 10_000)
    flood = (TranscriptEvent(EventKind.OUTPUT, f"{n} " + "x" * 1000, n) for n in range(2000))
    path = tmp_path / "transcript.eval"
    eval_logs.write_eval_log(path, eval_logs.Told(SPEC, None, WORK, "2026-01-01T00:00:00+00:00", "p"), flood)
    log = read_eval_log(str(path))
    assert log.status == "started"
    assert log.samples is not None
    texts = [message.text for message in log.samples[0].messages]
    assert texts[0].startswith("0 ") and texts[-1].startswith("1999 ")
    assert len(texts) < 40
    assert any("left out" in text for text in texts)
