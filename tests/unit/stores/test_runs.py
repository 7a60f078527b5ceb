"""Run directories: claims, finished stages, exclusive publication, ledgers that survive a torn write."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from posttrainbench.budget import Budget, Limits
from posttrainbench.errors import AlreadyPublished, BrokenLedger, InvalidFile, OwnedElsewhere, SetupError
from posttrainbench.ledger import check_chain
from posttrainbench.record import AgentSpec, FileFact, Prepared, RunSpec, Stage
from posttrainbench.stores.claims import Owner, claim, myself
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import publish, write_atomic
from posttrainbench.stores.ledger import Ledger, read_entries
from posttrainbench.stores.runs import RunStore, find_runs
from posttrainbench.task import ModelRef, Policy, Rules, Suite, SuiteBenchmark

SUITE = Suite(
    "tiny",
    "1",
    "Tiny",
    (ModelRef("owner/model"),),
    (SuiteBenchmark("bench", 1.0, "e" * 64),),
    Budget(60.0),
    Rules(Policy.OPEN),
    Limits(),
)
(TASK,) = SUITE.tasks()
SPEC = RunSpec("r", "tiny", SUITE.digest, TASK, "e" * 64, AgentSpec("idle", "scripted"), 0, "bwrap", "x", ())


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "r")
    store.create(SPEC, SUITE)
    return store


def test_a_spec_comes_back_as_it_was(run: RunStore) -> None:
    assert run.spec() == SPEC


def test_a_suite_comes_back_as_it_was_or_not_at_all(run: RunStore) -> None:
    assert run.suite() == SUITE
    run.layout.suite.write_text(to_json(replace(SUITE, version="2")))
    with pytest.raises(InvalidFile, match="not the suite"):
        run.suite()


def test_a_directory_holds_one_run_for_good(run: RunStore) -> None:
    run.create(SPEC, SUITE)
    with pytest.raises(SetupError, match="another run"):
        run.create(replace(SPEC, seed=1), SUITE)
    assert run.spec().seed == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', "null"])
def test_a_half_written_spec_is_an_error_that_names_the_file(run: RunStore, text: str) -> None:
    run.layout.spec.write_text(text)
    with pytest.raises(InvalidFile, match=r"spec\.json"):
        run.spec()


def test_a_live_owner_keeps_others_out(run: RunStore) -> None:
    with run.claim(), pytest.raises(OwnedElsewhere, match="is worked on by process"):
        run.claim()


def test_a_released_attempt_is_followed_by_the_next(run: RunStore) -> None:
    with run.claim() as first:
        assert first.number == 1
    with run.claim() as second:
        assert second.number == 2


def test_a_killed_owner_is_followed_at_once(run: RunStore) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path; from posttrainbench.stores.runs import RunStore\n"
        "RunStore(Path(sys.argv[1])).claim().__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(run.layout.root)], check=False)
    assert ended.returncode == -9
    with run.claim() as attempt:
        assert attempt.number == 2


def test_a_reused_process_number_is_not_the_owner(run: RunStore) -> None:
    attempt = run.claim().attempt
    impostor = replace(myself(), started_ticks=1)
    write_atomic(attempt.owner, to_json(impostor))
    assert run.claim().attempt.number == 2


def test_a_foreign_owner_is_taken_over_only_when_its_heart_is_still(run: RunStore) -> None:
    attempt = run.claim().attempt
    write_atomic(attempt.owner, to_json(replace(myself(), host="elsewhere")))
    with pytest.raises(OwnedElsewhere):
        claim(run.layout, scheduler_says_gone=lambda _: False, observed_s=0.1)

    beats = iter(range(1000))

    def beating(_: Owner) -> bool | None:
        write_atomic(attempt.heartbeat, f"{next(beats)}\n")
        return None

    with ThreadPoolExecutor() as pool:
        claimed = pool.submit(claim, run.layout, beating, 0.8)
        for _ in range(5):
            write_atomic(attempt.heartbeat, f"{next(beats)}\n")
            time.sleep(0.1)
        with pytest.raises(OwnedElsewhere):
            claimed.result()
    assert claim(run.layout, observed_s=0.1).attempt.number == 2


def test_of_many_that_claim_at_once_one_wins(run: RunStore) -> None:
    def attempt(_: int) -> int | None:
        try:
            return run.claim().attempt.number
        except OwnedElsewhere:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(attempt, range(8)) if number is not None]
    assert won == [1]


def test_a_finished_stage_is_found_in_the_newest_attempt_that_has_it(run: RunStore) -> None:
    assert run.finished(Stage.PREPARE, Prepared) is None
    old, new = Prepared(()), Prepared((FileFact("a", "file", 1, "0" * 64),))
    with run.claim() as first:
        run.finish(first, Stage.PREPARE, old, 0.1)
    with run.claim() as second:
        run.finish(second, Stage.PREPARE, new, 0.1)
    with run.claim():
        found = run.finished(Stage.PREPARE, Prepared)
    assert found is not None
    assert (found.attempt.number, found.output) == (2, new)


def test_publication_never_overwrites(tmp_path: Path) -> None:
    publish(tmp_path / "x", "first")
    with pytest.raises(FileExistsError):
        publish(tmp_path / "x", "second")
    assert (tmp_path / "x").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_second_publisher_is_told(run: RunStore) -> None:
    (run.layout.records).mkdir()
    (run.layout.records / "1.json").write_text("{}")
    with pytest.raises(AlreadyPublished):
        run.publish(SPEC, 1)  # type: ignore[arg-type]
    assert (run.layout.records / "1.json").read_text() == "{}"


def test_runs_are_found_below_a_folder_and_nothing_else(run: RunStore, tmp_path: Path) -> None:
    (tmp_path / "empty" / "attempts").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [store.layout.root for store in find_runs(tmp_path)] == [run.layout.root]
    assert list(find_runs(tmp_path / "absent")) == []


def test_the_ledger_is_a_chain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(5):
        ledger.append(
            "request", {"n": number, "x": 0.1, "whole": 1.0, "none": None, "yes": True, "text": "ä\n"}
        )
    entries = read_entries(ledger.path)
    assert check_chain(entries) == entries[-1].digest
    assert [type(v) for v in entries[0].data.values()] == [int, float, float, type(None), bool, str]


@pytest.mark.parametrize("damage", ["edit", "drop", "swap", "insert"])
def test_the_chain_shows_any_damage(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(4):
        ledger.append("request", {"n": number})
    lines = ledger.path.read_text().splitlines(keepends=True)
    if damage == "edit":
        lines[1] = lines[1].replace('"n":1', '"n":7')
    elif damage == "drop":
        del lines[1]
    elif damage == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines.insert(1, lines[1])
    ledger.path.write_text("".join(lines))
    with pytest.raises(BrokenLedger, match=r"entry [12]"):
        check_chain(read_entries(ledger.path))


def test_a_torn_line_is_set_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append("stage", {"n": 0})
    with path.open("a") as file:
        file.write('{"index": 1, "at_u')
    Ledger(path).append("stage", {"n": 1})
    entries = read_entries(path)
    check_chain(entries)
    assert [entry.data["n"] for entry in entries] == [0, 1]
    assert '"at_u' in (tmp_path / "ledger.torn").read_text()


def test_writers_that_share_a_ledger_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    writers = [Ledger(path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: writers[n % 4].append("request", {"n": n}), range(60)))
    entries = read_entries(path)
    check_chain(entries)
    assert sorted(entry.data["n"] for entry in entries) == list(range(60))


def test_json_that_is_not_a_noun_names_the_field() -> None:
    with pytest.raises(InvalidFile, match=r"somewhere .* suite"):
        from_json(RunSpec, '{"run_id": "r"}', "somewhere")
