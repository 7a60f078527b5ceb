"""The programs that an agent finds: the evaluation client and the timer, run as an agent runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_world import World, make_hub, open_world

from posttrainbench.flows.prepare import PROGRAMS, TEMPLATES
from posttrainbench.task import Policy


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(Policy.PAPER, make_hub(tmp_path / "hub"), max_queries=2) as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "final_model").mkdir(parents=True)
    (folder / "no_model").mkdir()
    for name in PROGRAMS:
        (folder / name).write_text((TEMPLATES / name).read_text())
    set_deadline(folder, time.time() + 5430)
    return folder


def set_deadline(workspace: Path, deadline_unix_s: float) -> None:
    task = {"base_model": "w/tiny-base", "deadline_unix_s": int(deadline_unix_s), "query_split": "dev"}
    (workspace / "task.json").write_text(json.dumps(task, indent=2))


def timer(workspace: Path, *arguments: str) -> str:
    command = ["sh", str(workspace / "timer.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_the_client_prints_a_sentence_or_json(world: World, workspace: Path, tmp_path: Path) -> None:
    done = world.run(sys.executable, "evaluate.py", home=tmp_path, cwd=workspace)
    assert (done.returncode, done.stdout) == (0, "score 0.412 ± 0.049 on 100 dev items\n"), done.stderr
    done = world.run(
        sys.executable, "evaluate.py", "--model", "final_model", "--json", home=tmp_path, cwd=workspace
    )
    answer = {"score": 0.412, "stderr": 0.049, "n": 100, "error": None, "queries_left": 0}
    assert json.loads(done.stdout) == answer
    assert [row["path"] for row in world.evaluations()] == ["final_model", "final_model"]
    done = world.run(sys.executable, "evaluate.py", home=tmp_path, cwd=workspace)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: all 2 evaluations that this task allows are used up\n"


def test_the_client_says_what_is_wrong_in_one_line(world: World, workspace: Path, tmp_path: Path) -> None:
    for model, complaint in (
        ("no_model", "no_model holds no weights"),
        ("/etc", "/etc is not a folder within"),
    ):
        command = (sys.executable, str(workspace / "evaluate.py"), "--model", model)
        done = world.run(*command, home=tmp_path, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {complaint}")
        assert done.stderr.count("\n") == 1


def test_the_client_without_a_run_says_so(workspace: Path) -> None:
    command = [sys.executable, str(workspace / "evaluate.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 1
    assert done.stderr == "error: PTB_GATEWAY is not set; evaluations are only possible within a run\n"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PTB_GATEWAY": "http://127.0.0.1:1"}
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_the_timer_tells_hours_and_minutes_or_seconds(workspace: Path) -> None:
    assert timer(workspace) == "1:30"
    assert 5400 < int(timer(workspace, "--seconds")) <= 5430
    set_deadline(workspace, time.time() - 100)
    assert timer(workspace) == "0:00"
    assert timer(workspace, "--seconds") == "0"


def test_the_timer_without_a_deadline_says_so(workspace: Path) -> None:
    (workspace / "task.json").write_text("{}")
    done = subprocess.run(["sh", str(workspace / "timer.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no deadline" in done.stderr
