"""Stock command lines do a run from start to end: scripted LLM outside, everything else as it is.

They are not fetched by tests: `ptb agents install NAME` does that, and what is not installed is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.agents.scaffolds import ScaffoldAgent, folder_of, scaffolds
from posttrainbench.errors import PtbError
from posttrainbench.stores.runs import RunStore

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from scripted_llm import INPUT, OUTPUT, REAL_KEY, Asked, Run, Say, scripted_llm

MODELS = {
    "claude-code": "claude-sonnet-4-5",
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
TAKE_THE_BASE = """python - <<'END'
import json
from huggingface_hub import snapshot_download
task = json.load(open("task.json"))
snapshot_download(task["base_model"], revision=task["base_model_revision"], local_dir="final_model")
END
python evaluate.py --model final_model; env; cat /proc/*/environ | tr '\\0' '\\n'"""

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # how mini-swe-agent stops


def submit_the_base(asked: Asked) -> Say | Run:
    """Read the task, fetch the base model, ask for its score, stop."""
    if asked.tools and not asked.results:
        return Run(TAKE_THE_BASE)
    return Run(SUBMIT) if asked.tools == ["bash"] and "COMPLETE_TASK" in str(asked.body) else Say("All done.")


@pytest.mark.extended
@pytest.mark.parametrize("name", MODELS)
def test_a_stock_cli_does_a_run_through_the_gateway(name: str, tmp_path: Path) -> None:
    row = scaffolds()[name]
    if not folder_of(name, row.version).is_dir():
        pytest.skip(f"{row.title} is not installed: ptb agents install {name}")
    base_url, key = VARIABLES[row.api]
    with scripted_llm(submit_the_base) as llm:
        told = [
            "run",
            "--agent",
            name,
            "--agent-model",
            MODELS[name],
            "--seconds",
            "120",
            "--out",
            str(tmp_path),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "posttrainbench.cli.main", *told, "--out", str(tmp_path)],
            env={**os.environ, base_url: llm.base_url, key: REAL_KEY},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = tmp_path.iterdir()
    record = RunStore(folder).record()
    assert record is not None
    said = (folder / "attempts/1/transcript.jsonl").read_text()
    assert record.solved.end == "finished", said[-3000:]
    assert record.outcome.kind == "score", record.outcome
    assert record.solved.evaluations == 1
    calls = model_calls(RunStore(folder))
    assert record.spend.tokens == sum(call["input_tokens"] + call["output_tokens"] for call in calls)
    assert record.spend.tokens is not None and record.spend.tokens >= 2 * (INPUT + OUTPUT)
    assert record.spend.cost_usd == pytest.approx(sum(call["cost_usd"] for call in calls), abs=1e-9)
    assert {REAL_KEY in json.dumps(asked.headers) for asked in llm.seen} == {True}
    assert "sandbox-dummy" not in json.dumps([asked.headers for asked in llm.seen])
    found = subprocess.run(
        ["grep", "-rl", REAL_KEY, str(folder)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def model_calls(store: RunStore) -> list[dict[str, Any]]:
    return [dict(entry.data) for entry in store.ledger_entries() if entry.kind == "model_call"]


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
