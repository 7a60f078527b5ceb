"""`ptb run --plan` says what would happen, by the members that would do it, and makes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posttrainbench.cli.main import app
from posttrainbench.cli.run import Asked, chosen
from posttrainbench.cli.setup_run import make_run
from posttrainbench.errors import UnknownName
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.stores.runs import RunStore

KEY = "sk-ant-a-key-that-must-not-show"
ON_A_GPU_BOX = (
    *("--agent", "claude-code", "--agent-model", "claude-opus-4-5"),
    *("--model", "Qwen/Qwen3-1.7B-Base", "--benchmark", "gsm8k", "--hours", "10"),
)


def told(out: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, ["run", "--plan", "--json", "--out", str(out), *words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_plan_makes_nothing(tmp_path: Path) -> None:
    plan = told(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert plan["goes_on"] is False
    assert plan["command"][-2:] == ["python", "/opt/agent/recipe_sft.py"]
    assert {"/workspace", "/home/agent"} == {m["inside"] for m in plan["mounts"] if m["writable"]}
    assert plan["guarantees"]
    assert (plan["reprompt_above_s"], plan["after_outage"]) == (None, "fresh_start")
    assert plan["missing"] == []


def test_the_documented_command_plans_and_says_what_this_machine_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_real_data: Path
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-models"))
    monkeypatch.setenv("PTB_SCAFFOLDS", str(tmp_path / "no-scaffolds"))
    plan = told(tmp_path, *ON_A_GPU_BOX, "--usd", "40")
    assert (plan["suite"], plan["policy"]) == ("ptb-v1.2", "paper")
    assert (plan["budget"]["wall_s"], plan["budget"]["cost_usd"], plan["budget"]["gpus"]) == (36_000, 40, 1)
    (endpoint,) = plan["endpoints"]
    assert endpoint["base_url"] == "https://api.anthropic.com"
    assert endpoint["key_is_set"] is False
    assert endpoint["usd_per_million_input"] > 0
    lacking = "\n".join(plan["missing"])
    assert "hf download Qwen/Qwen3-1.7B-Base" in lacking
    assert "ptb agents install claude-code" in lacking
    assert "ANTHROPIC_API_KEY" in lacking
    assert ("GPU" in lacking) == (not HERE.gpus())


def test_no_key_stands_in_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    words = ["run", "--plan", "--out", str(tmp_path), *ON_A_GPU_BOX[:4]]
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, [*words, *more])
        assert done.exit_code == 0, done.output
        assert KEY not in done.output
    assert json.loads(done.stdout)["endpoints"][0]["key_is_set"] is True


def test_a_budget_in_usd_needs_a_price(tmp_path: Path) -> None:
    words = ("--agent", "claude-code", "--agent-model", "nobodys-model")
    assert not [text for text in told(tmp_path, *words)["missing"] if "price" in text]
    assert [text for text in told(tmp_path, *words, "--usd", "5")["missing"] if "price" in text]


def test_a_run_that_goes_on_is_planned_with_what_it_spent(tmp_path: Path) -> None:
    suite, task, agent = chosen(asked())
    store = make_run(tmp_path, suite, task, agent.spec, 0, "bwrap")
    store.ledger().append("attempt", {"number": 1})
    store.ledger().append("clock", {"elapsed_s": 25.0})
    store.ledger().append("model_call", {"input_tokens": 70, "output_tokens": 7, "cost_usd": 0.5})
    plan = told(tmp_path, str(store.layout.root))
    assert plan["goes_on"] is True
    assert (plan["spent"]["wall_s"], plan["spent"]["tokens"], plan["spent"]["cost_usd"]) == (25.0, 77, 0.5)
    assert RunStore(store.layout.root).attempts() == 0


def test_without_a_name_the_newest_suite_that_fits_is_meant() -> None:
    assert chosen(asked())[0].name == "tiny"
    assert chosen(asked(model="Qwen/Qwen3-4B-Base", benchmark="gsm8k"))[0].name == "ptb-v1.2"
    assert chosen(asked(model="Qwen/Qwen3-4B-Base", benchmark="bfcl"))[0].name == "ptb-v1.0"
    with pytest.raises(UnknownName, match="benchmark"):
        chosen(asked(model="Qwen/Qwen3-4B-Base", benchmark="tiny_math"))
    with pytest.raises(UnknownName, match="base model"):
        chosen(asked(model="Qwen/Qwen9"))


def test_a_budget_in_usd_makes_another_suite_of_it() -> None:
    plain, dear = chosen(asked())[0], chosen(asked(cost_usd=3.0))[0]
    assert dear.budget.cost_usd == 3.0
    assert plain.digest != dear.digest
    assert dear.version == "1.0+60s-paper-3usd"


def asked(
    model: str = "tiny-qwen3-base", benchmark: str = "tiny_math", cost_usd: float | None = None
) -> Asked:
    return Asked(None, None, None, model, benchmark, None, 0, None, None, "bwrap", Path(), cost_usd=cost_usd)
