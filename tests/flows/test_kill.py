"""`ptb run`, killed as by `kill -9` at every stage boundary and within every stage, ends as if it never was.

One run directory goes through all the deaths, each invocation going on from where the one before was killed.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from posttrainbench.agents.builtin import ShellAgent
from posttrainbench.cli.setup_run import make_run, task_of
from posttrainbench.ledger import check_chain
from posttrainbench.record import Score, Stage
from posttrainbench.stores.runs import RunStore
from posttrainbench.suites import load_suite

KILL_AT = Path(__file__).with_name("kill_at.py")
FLOWS = "posttrainbench.flows"
# Submits the base model, and leaves weights that sealing leaves out of the snapshot.
SCRIPT = """
echo working; head -c 2000000 /dev/zero > checkpoint.bin
python -c "from huggingface_hub import snapshot_download as get
get('tinyworld/tiny-qwen3-base', local_dir='final_model')"
"""
DEATHS = (
    "before prepare start",
    "after prepare start",
    f"within {FLOWS}.prepare:_write 2",
    "before prepare end",
    "before solve start",
    "after solve start",
    f"within {FLOWS}.solve:Queries.__init__ 1",
    "within posttrainbench.stores.transcripts:TranscriptWriter.write 1",
    "before solve end",
    "after seal start",
    f"within {FLOWS}.seal:to_line 3",
    f"within {FLOWS}.seal:remove_file 1",
    "before seal end",
    "after admit start",
    f"within {FLOWS}.admit:write_admitted 1",
    f"within {FLOWS}.admit:_write_config 1",
    "before admit end",
    "after evaluate start",
    f"within {FLOWS}.evaluate:write_atomic 1",
    "within posttrainbench.sandboxes.bubblewrap:Bubblewrap.start 1",
    "before evaluate end",
    "after audit start",
    "within posttrainbench.auditing.overlap:check_overlap 1",
    "before audit end",
    "before record publish",
    "after record publish",
    "within posttrainbench.stores.files:_written 1",
)


@pytest.fixture(scope="module")
def killed_and_finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunStore, list[dict[str, bytes]]]:
    """The run after all its deaths, and the finished stages as they lay after each."""
    suite = load_suite("tiny")
    task = task_of(suite, "tiny-qwen3-base", "tiny_math")
    store = make_run(
        tmp_path_factory.mktemp("runs"), suite, task, ShellAgent("copier", SCRIPT).spec, 0, "bwrap"
    )
    seen = []
    for death in DEATHS:
        ended = subprocess.run(
            [sys.executable, str(KILL_AT), death, str(store.layout.root)], check=False, capture_output=True
        )
        assert ended.returncode == -9, f"not killed {death!r}: {ended.stderr.decode()[-2000:]}"
        assert store.record() is None or death == DEATHS[-1], death
        seen.append(stage_files(store))
    done = subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli.main", "run", str(store.layout.root)],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return store, [*seen, stage_files(store)]


def stage_files(store: RunStore) -> dict[str, bytes]:
    """The content of every finished stage, by path."""
    root = store.layout.root
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("attempts/*/stages/*.json"))}


def test_one_record_comes_out(killed_and_finished: tuple[RunStore, list[dict[str, bytes]]]) -> None:
    store, _ = killed_and_finished
    record = store.record()
    assert record is not None
    assert isinstance(record.outcome, Score)
    assert [path.name for path in store.layout.records.iterdir()] == ["1.json"]
    assert store.layout.record.read_text() == (store.layout.records / "1.json").read_text()


def test_no_finished_stage_was_lost_or_repeated(
    killed_and_finished: tuple[RunStore, list[dict[str, bytes]]],
) -> None:
    _, seen = killed_and_finished
    for earlier, later in pairwise(seen):
        assert earlier.items() <= later.items()
    stages = [Path(path).stem for path in seen[-1]]
    assert sorted(stages) == sorted(stage for stage in Stage if stage is not Stage.RECORD)


def test_the_ledger_tells_of_every_attempt(
    killed_and_finished: tuple[RunStore, list[dict[str, bytes]]],
) -> None:
    store, _ = killed_and_finished
    entries = store.ledger_entries()
    check_chain(entries)
    attempts = [entry.data["number"] for entry in entries if entry.kind == "attempt"]
    assert attempts == list(range(1, len(attempts) + 1))
    assert len(attempts) >= len(DEATHS)
