"""What a sandbox takes of the machine is seen from outside, whichever member it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sandbox_rooms import PATIENCE_S, Room

from posttrainbench.budget import MIB
from posttrainbench.flows.monitor import Monitor
from posttrainbench.load import GpuLoad
from posttrainbench.sandboxes.meter import parse_gpus, read_gpus
from posttrainbench.stores.monitor import read_samples

BUSY = """
import os, subprocess, sys, time
child = "import time; end = time.process_time() + 0.6\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", child])  # its time is its parent's once it has ended
held = bytearray(os.urandom(1024)) * (80 * 1024)
open("weights", "wb").write(bytes(5 * 1024**2))
print("ready", flush=True)
time.sleep(60)
"""


def test_the_load_of_a_busy_command_is_seen(room: Room) -> None:
    ready = threading.Event()
    job = room.job("python", "-c", BUSY, watched=(room.workspace,))
    process = room.start(job, lambda data: ready.set() if b"ready" in data else None)
    assert ready.wait(PATIENCE_S)
    load = process.load()
    assert load is not None
    assert load.cpu_s is not None and load.cpu_s >= 0.6
    assert load.memory_bytes is not None and 80 * MIB <= load.memory_bytes <= 300 * MIB
    assert load.processes is not None and 1 <= load.processes <= 10
    assert load.gpus == ()
    process.stop(0.0)
    assert process.load() is None


def test_a_monitor_writes_samples_down_while_a_command_runs(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    ready = threading.Event()
    with Monitor(path, wall_s=5) as monitor:
        assert monitor.summary() is None
        job = room.job("python", "-c", BUSY, watched=(room.workspace,))
        process = monitor.show(room.start(job, lambda data: ready.set() if b"ready" in data else None))
        assert ready.wait(PATIENCE_S)
        enough = threading.Event()
        for _ in range(int(PATIENCE_S / 0.1)):
            if len([one for one in read_samples(path) if (one.disk_bytes or 0) >= 5 * MIB]) >= 2:
                break
            enough.wait(0.1)
        process.stop(0.0)
    samples, summary = read_samples(path), monitor.summary()
    assert summary is not None
    assert summary.samples == len(samples) >= 2
    assert [one.at_s for one in samples] == sorted(one.at_s for one in samples)
    assert summary.peak_memory_bytes is not None and summary.peak_memory_bytes >= 80 * MIB
    assert summary.peak_disk_bytes is not None and summary.peak_disk_bytes >= 5 * MIB
    assert (summary.gpus, summary.mean_gpu_busy) == (0, None)


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "monitor.jsonl"
    line = '{"at_s": 1, "cpu_cores": null, "memory_bytes": 2, "processes": 1, "disk_bytes": 3, "gpus": []}\n'
    path.write_text(line + line[:20])
    assert len(read_samples(path)) == 1
    assert read_samples(tmp_path / "absent") == ()


# --- GPUs: as the driver's tool prints them, and a tool that fails ------------------------------------------


def test_what_the_drivers_tool_says_is_read() -> None:
    assert parse_gpus("97, 71234, 650.12\n0, 3, [N/A]\n") == (
        GpuLoad(0.97, 71234 * MIB, 650.12),
        GpuLoad(0.0, 3 * MIB, None),
    )
    assert parse_gpus("No devices were found\n") == ()


@pytest.mark.parametrize("script", ["exit 9", "echo 50, 100, 10; test $# -gt 0"])
def test_gpus_are_asked_for_by_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/asked\n{script}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert read_gpus(("GPU-a", "GPU-b")) == (() if "exit" in script else (GpuLoad(0.5, 100 * MIB, 10.0),))
    assert "--id=GPU-a,GPU-b" in (tmp_path / "asked").read_text()
    assert read_gpus(()) == ()
