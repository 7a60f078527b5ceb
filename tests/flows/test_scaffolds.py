"""Stock command lines do a run from start to end: scripted LLM outside, everything else as it is.

They are not fetched by tests: `ptb agents install NAME` does that, and what is not installed is skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from inspect_ai.log import read_eval_log

from posttrainbench.agents.scaffolds import Scaffold, ScaffoldAgent, folder_of, scaffolds
from posttrainbench.errors import PtbError
from posttrainbench.gateways.dialects import read_route
from posttrainbench.record import Score
from posttrainbench.stores.runs import RunStore

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from scripted_llm import CACHED, INPUT, OUTPUT, REAL_KEY, WRITTEN, Asked, ScriptedLlm, scripted_llm
from stock_agents import PRICES, SUITE, Script

MODELS = {
    "claude-code": "claude-opus-4-5",
    "codex": "gpt-5.1-codex",
    "gemini-cli": "gemini-2.5-pro",
    "opencode": "gpt-5.1",
    "mini-swe-agent": "gpt-5.1",
}
VARIABLES = {
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
}
HIGH = {  # effort "high" as the provider sees it
    "claude-code": '"output_config": {"effort": "high"}',
    "codex": '"reasoning": {"effort": "high"',
    "gemini-cli": '"thinkingBudget": 24576',
    "opencode": '"reasoning_effort": "high"',
    "mini-swe-agent": '"reasoning_effort": "high"',
}
SPEND = {"anthropic": INPUT + CACHED + WRITTEN + OUTPUT, "openai": INPUT + OUTPUT, "gemini": INPUT + OUTPUT}
CENTS = {  # USD of a call, by the price list of the test
    "anthropic": (INPUT * 3 + CACHED * 0.3 + WRITTEN * 4 + OUTPUT * 15) / 1e6,
    "openai": ((INPUT - CACHED) * 3 + CACHED * 0.3 + OUTPUT * 15) / 1e6,
    "gemini": ((INPUT - CACHED) * 3 + CACHED * 0.3 + OUTPUT * 15) / 1e6,
}


@pytest.mark.extended
@pytest.mark.parametrize("name", MODELS)
def test_a_stock_cli_does_a_run_through_the_gateway(name: str, tmp_path: Path) -> None:
    row = installed(name)
    script = Script()
    with scripted_llm(script) as llm:
        folder = run_in(tmp_path, name, llm, "--effort", "high")
    store = RunStore(folder)
    record = store.record()
    assert record is not None
    said = (folder / "attempts/1/transcript.jsonl").read_text()
    assert not script.acts, said[-3000:]

    hows, idle = zip(*[(turn.how, turn.idle) for turn in record.solved.turns], strict=True)
    assert hows == ("start", *["resume"] * 4), (record.solved.turns, said[-3000:])
    assert idle == (False, False, True, True, True)
    assert record.solved.end == "finished", said[-3000:]
    assert isinstance(record.outcome, Score), record.outcome
    assert record.verdict.label == "clean", record.verdict
    assert record.solved.evaluations == 2

    paid = [asked for asked in llm.seen if generates(asked)]
    assert record.spend.tokens == len(paid) * SPEND[row.api]
    assert record.spend.cost_usd == pytest.approx(len(paid) * CENTS[row.api], abs=1e-7)

    bodies = [json.dumps(asked.body) for asked in llm.seen]
    assert any(HIGH[name] in body for body in bodies), "the effort did not reach the LLM"
    assert any("of your time are left" in body for body in bodies), "no reprompt reached the LLM"
    searched = set(re.findall(r"SEARCHED files=\w+ processes=\w+ dummies=\w+ key=[^\\]+", "".join(bodies)))
    assert searched == {"SEARCHED files=True processes=True dummies=True key=nowhere"}
    assert {REAL_KEY in json.dumps(asked.headers) for asked in llm.seen} == {True}
    assert "sandbox-dummy" not in json.dumps([asked.headers for asked in llm.seen])
    assert REAL_KEY not in "".join(bodies)
    assert files_with(REAL_KEY, folder) == []

    ptb("show", str(folder), "--eval")
    log = read_eval_log(str(next(folder.glob("attempts/1/*.eval"))))
    assert log.samples and len(log.samples[0].messages) >= 2 * len(Script().acts)


@pytest.mark.extended
@pytest.mark.parametrize("name", MODELS)
def test_a_stock_cli_that_fails_says_why(name: str, tmp_path: Path) -> None:
    installed(name)
    with scripted_llm() as llm:
        llm.faults = [400] * 500
        folder = run_in(tmp_path, name, llm)
    record = RunStore(folder).record()
    assert record is not None
    assert (record.solved.end, len(record.solved.turns)) == ("crashed", 3), record.solved.turns
    assert "scripted 400" in record.solved.reason


def installed(name: str) -> Scaffold:
    """The row of a scaffold that is there."""
    row = scaffolds()[name]
    if not folder_of(name, row.version).is_dir():
        pytest.skip(f"{row.title} is not installed: ptb agents install {name}")
    return row


def run_in(tmp_path: Path, name: str, llm: ScriptedLlm, *more: str) -> Path:
    """The folder of a run by that agent."""
    suite, prices, out = tmp_path / "suite.toml", tmp_path / "prices.toml", tmp_path / "runs"
    suite.write_text(SUITE)
    prices.write_text(PRICES)
    base_url, key = VARIABLES[scaffolds()[name].api]
    told = ["--agent", name, "--agent-model", MODELS[name], "--suite", str(suite), "--out", str(out), *more]
    ptb("run", *told, **{base_url: llm.base_url, key: REAL_KEY, "PTB_PRICES": str(prices)})
    (folder,) = out.iterdir()
    return folder


def ptb(*argv: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli.main", *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def generates(asked: Asked) -> bool:
    route = read_route("POST", asked.path.partition("?")[0])
    return route is not None and route.generates and bool(asked.body)


def files_with(text: str, folder: Path) -> list[Path]:
    """Files whose bytes hold a text, the captured calls read uncompressed."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        if text.encode() in data:
            found.append(path)
    return found


@pytest.mark.parametrize("name", sorted(scaffolds()))
def test_every_row_can_be_filled_in(name: str) -> None:
    row = scaffolds()[name]
    effort = next(iter(row.efforts), None)
    agent = ScaffoldAgent.made(name, "some/model", effort)
    assert ScaffoldAgent.of(agent.spec) == agent
    assert "/" not in agent.spec.name
    words = [*agent._words(row.argv, "go"), *agent._words(row.resume, "go on")]
    for text in [*words, *row.environment.values(), *row.files.values()]:
        filled = agent._filled(text).replace("{PTB_GATEWAY}", "")
        assert not [word for word in ("{model}", "{prompt}", "{effort}", "{session}") if word in filled]


def test_what_a_scaffold_lacks_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PTB_SCAFFOLDS", str(tmp_path))
    with pytest.raises(PtbError, match="--agent-model"):
        ScaffoldAgent.made("codex", None)
    with pytest.raises(PtbError, match="xhigh"):
        ScaffoldAgent.made("codex", "m", "extreme")
    with pytest.raises(PtbError, match="ptb agents install codex"):
        ScaffoldAgent.made("codex", "m").command(None, 0)  # type: ignore[arg-type]


# The last lines of failed runs, as each program words them; shortened.
FAILED = {
    "claude-code": '{"type":"result","subtype":"success","is_error":true,"result":"400 no credit"}',
    "codex": '{"type":"error","message":"no credit"}\n{"type":"turn.failed","error":{"message":"no credit"}}',
    "gemini-cli": '{"type":"result","status":"error","error":{"type":"unknown","message":"no credit"}}',
    "opencode": '{"type":"error","error":{"name":"APIError","data":{"message":"no credit"}}}',
    "mini-swe-agent": "Traceback (most recent call last):\nBadRequestError: no credit",
}


@pytest.mark.parametrize("name", FAILED)
def test_how_a_scaffold_failed_is_read_from_its_last_words(name: str) -> None:
    agent = ScaffoldAgent.made(name, "some/model")
    said = agent.failure(1, f"some work\n{FAILED[name]}\n")
    assert said is not None and said.endswith("no credit")
    assert "{" not in said
    assert agent.failure(0, f"{FAILED[name]}\nwent on and came to its end\n") is None


@pytest.mark.parametrize("name", [name for name in FAILED if scaffolds()[name].failures])
def test_a_failure_that_is_told_last_counts_whatever_the_status(name: str) -> None:
    assert ScaffoldAgent.made(name, "some/model").failure(0, f"some work\n{FAILED[name]}\n") is not None


def test_a_status_says_what_the_output_does_not() -> None:
    gemini = ScaffoldAgent.made("gemini-cli", "some/model")
    assert gemini.failure(41, "") == "no authentication"
    assert gemini.failure(7, "") == "its last words: nothing"
    assert gemini.failure(None, "cut off") is None


def test_hostile_last_words_are_one_short_line_of_plain_text() -> None:
    claude = ScaffoldAgent.made("claude-code", "some/model")
    nasty = json.dumps({"type": "result", "is_error": True, "result": "a\x1b[2Jb\n" * 10_000})
    said = claude.failure(1, nasty)
    assert said is not None and len(said) < 400 and said.isprintable()
    for odd in (
        "[" * 100_000,
        '{"type":"result","is_error":true}',
        '{"type":"result","is_error":1,"result":{}}',
    ):
        assert claude.failure(1, odd) is not None
