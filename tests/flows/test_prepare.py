"""What the agent finds in its workspace: every fact of the task, and nothing left open."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from posttrainbench.budget import GIB, Budget, Limits
from posttrainbench.flows.prepare import duration, fill, prepare, render
from posttrainbench.task import ModelRef, Policy, Rules, Task

RULES = Rules(Policy.PAPER, max_queries=5, allowed_datasets=("w/chatter",))
LIMITS = Limits(memory_bytes=2 * GIB, pids=256, disk_bytes=GIB)
TASK = Task(ModelRef("w/tiny-base", "v1"), "math", Budget(90), RULES, LIMITS)


@dataclass
class TitledBenchmark:
    """As much of a benchmark as preparing needs."""

    title: str = "Word problems"
    hub_id: str = "w/math"


def rendered(task: Task = TASK) -> dict[str, str]:
    return render(task, "Word problems", "w/math", deadline_unix_s=1234.7)


def test_task_json_holds_the_facts() -> None:
    assert json.loads(rendered()["task.json"]) == {
        "base_model": "w/tiny-base",
        "base_model_revision": "v1",
        "benchmark": "math",
        "benchmark_hub_id": "w/math",
        "benchmark_title": "Word problems",
        "budget": {"wall_s": 90, "gpus": 0, "cost_usd": None, "tokens": None},
        "deadline_unix_s": 1234,
        "final_model": "final_model",
        "policy": "paper",
        "query_split": "dev",
        "max_queries": 5,
    }


def test_the_texts_name_every_fact_and_leave_nothing_open() -> None:
    texts = rendered()
    assert set(texts) == {"task.json", "task.md", "rules.md", "evaluate.py", "check_overlap.py", "timer.sh"}
    task = texts["task.md"]
    for fact in (
        "**w/tiny-base**",
        "revision `v1`",
        "Word problems",
        "`w/math`",
        "1 minute 30 seconds",
        "no GPU",
    ):
        assert fact in task
    assert "2 GiB of memory, 1 GiB of disk, 256 processes" in task
    assert "at most 5 times" in task
    assert "other items, which nobody can query" in task
    assert not re.search(r"\$[a-z_]+", task + texts["rules.md"].replace("$HF_ENDPOINT", ""))


@pytest.mark.parametrize("policy", list(Policy))
def test_the_rules_say_what_may_be_fetched(policy: Policy) -> None:
    rules = rendered(replace(TASK, rules=replace(RULES, policy=policy)))["rules.md"]
    assert ("test split of `w/math`" in rules) == (policy is Policy.PAPER)
    assert ("`w/math`, `w/chatter`, nothing else" in rules) == (policy is Policy.STRICT)


def test_only_task_json_knows_the_deadline(tmp_path: Path) -> None:
    prepared = prepare(TASK, TitledBenchmark(), tmp_path)  # type: ignore[arg-type]
    assert {fact.path for fact in prepared.files} == {
        "task.md",
        "rules.md",
        "evaluate.py",
        "check_overlap.py",
        "timer.sh",
    }
    fill(TASK, TitledBenchmark(), tmp_path, 1234.7)  # type: ignore[arg-type]
    for fact in prepared.files:
        assert hashlib.sha256((tmp_path / fact.path).read_bytes()).hexdigest() == fact.sha256
    assert json.loads((tmp_path / "task.json").read_text())["deadline_unix_s"] == 1234
    assert (tmp_path / "timer.sh").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("wall_s", "text"),
    [
        (0, "0 seconds"),
        (60, "1 minute"),
        (45, "45 seconds"),
        (5400, "1 hour 30 minutes"),
        (36000, "10 hours"),
    ],
)
def test_durations_are_said_as_people_say_them(wall_s: float, text: str) -> None:
    assert duration(wall_s) == text
