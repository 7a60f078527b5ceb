"""A whole run, agent and evaluation, in containers of a real engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from posttrainbench.errors import SandboxUnavailable
from posttrainbench.sandboxes.container import Container
from posttrainbench.stores.runs import RunStore


@pytest.mark.extended
def test_a_run_in_containers(tmp_path: Path) -> None:
    try:
        Container().isolation()
    except SandboxUnavailable as missing:
        pytest.skip(str(missing))
    told = [
        "run",
        "--agent",
        "idle",
        "--benchmark",
        "tiny_tools",
        "--sandbox",
        "docker",
        "--out",
        str(tmp_path),
    ]
    subprocess.run([sys.executable, "-m", "posttrainbench.cli.main", *told], check=True)
    (folder,) = tmp_path.iterdir()
    record = RunStore(folder).record()
    assert record is not None
    assert (record.outcome.kind, record.verdict.label) == ("score", "clean")
    isolation = record.solved.isolation
    assert (isolation.sandbox, isolation.isolated) == ("docker", True)
