"""`ptb demo`: killed in the middle it goes on where it stopped, and ends in a leaderboard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from posttrainbench.stores.runs import find_runs

RUNS = 8  # two agents on four tasks


def demo(out: Path, *more: str) -> list[str]:
    argv = [sys.executable, "-m", "posttrainbench.cli.main", "demo", "--agents", "broken,cheat-tamper"]
    return [*argv, "--seconds", "10", "--out", str(out), *more]


def finished(out: Path) -> dict[str, bytes]:
    return {str(s.layout.root): s.layout.record.read_bytes() for s in find_runs(out) if s.record()}


def test_a_killed_demo_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = subprocess.Popen(demo(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(finished(tmp_path)) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(1)  # the workers die with it
    before = finished(tmp_path)
    assert 2 <= len(before) < RUNS

    second = subprocess.run(
        demo(tmp_path, "--json"), capture_output=True, check=False, text=True, timeout=300
    )
    assert second.returncode == 0, second.stderr
    after = finished(tmp_path)
    assert len(after) == RUNS
    assert before.items() <= after.items()
    assert f"{len(before)} are finished already" in " ".join(second.stderr.split())
    board = json.loads(second.stdout)
    assert "cheat-tamper" in second.stdout
    assert board
    assert "Where to look next" in " ".join(second.stderr.split())
