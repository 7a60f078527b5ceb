"""A disk that fills up under a run ends it with one line; nothing finished is lost, and it goes on later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posttrainbench.budget import MIB
from posttrainbench.gateways.calls_file import CallsFile
from posttrainbench.ledger import check_chain
from posttrainbench.record import SolveEnd
from posttrainbench.stores.calls import read_calls
from posttrainbench.stores.ledger import Ledger, read_entries
from posttrainbench.stores.runs import RunStore

DISK_BYTES = 48 * MIB
ROOM_BYTES = 1 * MIB  # that is left when the run begins
SAID_BYTES = 16 * MIB  # by the agent: more than that, less than the disk
SCRIPT = f"head -c {SAID_BYTES} /dev/zero | tr '\\0' x; sleep 3"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    told = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "small", str(folder)]
    try:
        done = subprocess.run(told, capture_output=True, text=True, check=False)
    except OSError as failed:
        pytest.skip(f"no small disk can be made here: {failed}")
    if done.returncode != 0:
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, room_bytes: int = 0) -> Path:
    """A file that takes all of the disk but so many bytes."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room_bytes))
    return filler


def ptb_run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "posttrainbench.cli.main", "run", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)


def test_a_full_disk_ends_a_run_clearly_and_it_goes_on_when_there_is_room(disk: Path) -> None:
    filler = fill(disk, ROOM_BYTES)
    done = ptb_run("--command", SCRIPT, "--seconds", "200", "--out", str(disk / "runs"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ptb: no space is left")
    assert "Traceback" not in done.stderr
    (run_dir,) = (disk / "runs").iterdir()
    store = RunStore(run_dir)
    assert store.record() is None
    assert (run_dir / "attempts/1/stages/prepare.json").exists()
    assert not (run_dir / "attempts/1/stages/solve.json").exists()
    filler.unlink()
    done = ptb_run(str(run_dir))
    assert done.returncode == 0, done.stderr
    record = store.record()
    assert record is not None
    assert (record.solved.end, record.solved.transcript_bytes) == (SolveEnd.FINISHED, SAID_BYTES)
    assert [stage.attempt for stage in record.stages][:2] == [1, 2]
    check_chain(store.ledger_entries())


def test_a_ledger_is_as_before_after_an_entry_that_found_no_room(disk: Path) -> None:
    ledger = Ledger(disk / "ledger.jsonl")
    ledger.append("stage", {"stage": "solve"})
    filler = fill(disk)
    before = ledger.path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        for _ in range(1000):  # the last page has room for a few
            before = ledger.path.read_bytes()
            ledger.append("request", {"path": "x" * 500})
    assert ledger.path.read_bytes() == before
    filler.unlink()
    ledger.append("stage", {"stage": "seal"})
    entries = read_entries(ledger.path)
    check_chain(entries)
    assert (entries[0].data["stage"], entries[-1].data["stage"]) == ("solve", "seal")


def test_calls_that_were_kept_before_the_disk_was_full_can_be_read(disk: Path) -> None:
    calls = CallsFile(disk / "calls.jsonl.zst")
    calls.keep({"call": 1}, {}, b"first")
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        calls.keep({"call": 2}, {"noise": os.urandom(MIB).hex()}, b"second")
    (disk / "filler").unlink()
    calls.keep({"call": 3}, {}, b"third")  # after a gap nothing could be read
    calls.close()
    assert [each.number for each in read_calls(disk / "calls.jsonl.zst")] == [1]
