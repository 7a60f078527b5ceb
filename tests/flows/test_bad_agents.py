"""Whatever an agent does or leaves, `ptb run` ends in a record that says so, on time, without a traceback."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from posttrainbench.errors import FailureKind
from posttrainbench.finding import VerdictLabel
from posttrainbench.record import Failure, RunRecord, SolveEnd
from posttrainbench.stores.runs import RunStore

BUDGET_S = 6
SAVE_BASE = (
    'python -c "from huggingface_hub import snapshot_download as get;'
    " get('tinyworld/tiny-qwen3-base', local_dir='final_model')\""
)


def ptb_run(script: str, out: Path, *more: str) -> tuple[RunRecord, float]:
    """The record of a run whose agent is a shell script, and the seconds that the command took."""
    argv = [sys.executable, "-m", "posttrainbench.cli.main", "run", "--command", script, "--out", str(out)]
    started = time.monotonic()
    done = subprocess.run(
        [*argv, "--seconds", str(BUDGET_S), *more], capture_output=True, check=False, text=True, timeout=300
    )
    took_s = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (run_dir,) = out.iterdir()
    record = RunStore(run_dir).record()
    assert record is not None
    return record, took_s


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("true", FailureKind.NO_FINAL_MODEL, "missing"),
        ("mkdir final_model", FailureKind.NO_FINAL_MODEL, "empty"),
        ("rm -rf /workspace/* /workspace/.[!.]*", FailureKind.NO_FINAL_MODEL, "missing"),
        ("exit 3", FailureKind.AGENT_CRASHED, "status 3"),
        ("kill -9 $$", FailureKind.AGENT_CRASHED, "left no final_model"),
        ("/nowhere/to/be/found", FailureKind.AGENT_CRASHED, "status 127"),
        ("ln -s /usr final_model", FailureKind.REJECTED_MODEL, "link"),
        ("echo model > final_model", FailureKind.REJECTED_MODEL, "folder"),
        (
            "mkdir final_model; echo x > final_model/pytorch_model.bin",
            FailureKind.REJECTED_MODEL,
            "safetensors",
        ),
        ("mkdir final_model; mkfifo final_model/model.safetensors", FailureKind.REJECTED_MODEL, "fifo"),
        (
            f"{SAVE_BASE}; truncate -s 100000 final_model/model.safetensors",
            FailureKind.REJECTED_MODEL,
            "model.safetensors",
        ),
        (
            f"{SAVE_BASE}; mv final_model m; ln -s /workspace/m final_model",
            FailureKind.REJECTED_MODEL,
            "link",
        ),
    ],
)
def test_a_run_without_a_usable_model_says_why(
    script: str, kind: FailureKind, said: str, tmp_path: Path
) -> None:
    record, _ = ptb_run(script, tmp_path)
    assert isinstance(record.outcome, Failure)
    assert record.outcome.reason_kind is kind
    assert said in record.outcome.reason


def test_a_hundred_megabytes_of_output_are_counted_and_bounded(tmp_path: Path) -> None:
    record, _ = ptb_run("head -c 100000000 /dev/zero | tr '\\0' 'x'", tmp_path, "--seconds", "120")
    assert record.solved.end is SolveEnd.FINISHED
    assert record.solved.transcript_bytes == 100_000_000
    (transcript,) = tmp_path.glob("*/attempts/1/transcript.jsonl")
    assert transcript.stat().st_size < 80 * 1024**2
    assert record.solved.transcript_dropped_bytes > 0


def test_a_silent_agent_is_cut_off_at_its_deadline(tmp_path: Path) -> None:
    record, took_s = ptb_run("exec sleep 1000", tmp_path)
    assert record.solved.end is SolveEnd.DEADLINE
    assert record.solved.left_processes == 0
    assert record.solved.transcript_bytes == 0
    assert took_s < BUDGET_S + 60


def test_an_agent_that_fills_its_disk_is_stopped(tmp_path: Path) -> None:
    script = "n=0; while true; do n=$((n+1)); fallocate -l 200000000 f$n || exit 1; done"
    record, _ = ptb_run(script, tmp_path, "--seconds", "60")
    assert record.solved.end is SolveEnd.DISK_LIMIT
    assert record.solved.wall_s < 50


def test_an_agent_that_forks_without_end_harms_only_itself(tmp_path: Path) -> None:
    record, took_s = ptb_run("f() { f | f & }; f; sleep 1000", tmp_path)
    assert record.solved.end in (SolveEnd.PIDS_LIMIT, SolveEnd.DEADLINE, SolveEnd.CRASHED)
    assert record.solved.left_processes == 0
    assert took_s < BUDGET_S + 60


def test_an_agent_that_takes_all_memory_is_stopped(tmp_path: Path) -> None:
    script = 'python -c "x = []\nwhile True: x.append(bytearray(50_000_000))"'
    record, _ = ptb_run(script, tmp_path, "--seconds", "60")
    assert record.solved.end in (SolveEnd.MEMORY_LIMIT, SolveEnd.CRASHED)
    assert record.solved.wall_s < 50


def test_a_model_that_was_left_in_time_counts_whatever_came_after(tmp_path: Path) -> None:
    record, _ = ptb_run(f"{SAVE_BASE}; exit 7", tmp_path)
    assert record.solved.end is SolveEnd.CRASHED
    assert record.admitted.status == "admitted"
    assert record.verdict.label is VerdictLabel.CLEAN


def test_running_without_isolation_is_on_the_record(tmp_path: Path) -> None:
    record, _ = ptb_run("true", tmp_path, "--sandbox", "none")
    assert not record.solved.isolation.isolated
