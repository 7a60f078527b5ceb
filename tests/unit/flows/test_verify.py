"""Every change after publication shows, and who signed is told in three different words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from made_runs import made_record, made_score, made_spec, made_suite

from posttrainbench.cli.dispute import dispute as dispute_verb
from posttrainbench.cli.rank import leaderboard_of
from posttrainbench.cli.verify import verify as verify_verb
from posttrainbench.digest import content_digest
from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.finding import VerdictLabel
from posttrainbench.flows.seal import seal
from posttrainbench.flows.verify import Keys, Verified, verify
from posttrainbench.leaderboard import Mark
from posttrainbench.ledger import check_chain
from posttrainbench.ranking.policy import PAPER
from posttrainbench.record import Admitted, Stage
from posttrainbench.signature import Signed
from posttrainbench.stores.keys import InstallationKey, installation_key, public_pem
from posttrainbench.stores.remains import kept
from posttrainbench.stores.runs import RunStore

SUITE = made_suite()


@pytest.fixture
def key(tmp_path: Path) -> InstallationKey:
    return installation_key(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path, key: InstallationKey) -> RunStore:
    """A published run, signed, as far as verification looks at it."""
    made = RunStore(tmp_path / "runs" / "run")
    made.create(made_spec(SUITE, SUITE.tasks()[0]), SUITE)
    with made.claim() as attempt:
        attempt.workspace.mkdir()
        attempt.home.mkdir()
        (attempt.workspace / "train.py").write_text("print('hello')")
        (attempt.workspace / "old.bin").write_bytes(bytes(1_500_000))
        (attempt.home / "link").symlink_to("../workspace/train.py")
        attempt.transcript.write_text('{"at_s": 0, "text": "hello"}\n')
        attempt.evaluation.mkdir()
        (attempt.evaluation / "samples.jsonl").write_text('{"id": "a", "score": 1}\n')
        sealed = seal(attempt, attempt)
        made.finish(attempt, Stage.SOLVE, Admitted("absent", "none", None), 1.0)
        made.finish(attempt, Stage.SEAL, sealed, 1.0)
        publish(made, key)
    return made


def publish(store: RunStore, key: InstallationKey | None) -> None:
    """One more record of a run."""
    attempt, number = store.layout.attempt(1), store.records() + 1
    store.ledger().append("stage", {"stage": "record", "event": "publish", "record": number})
    stages = [store.finished(stage, Admitted) for stage in (Stage.SOLVE,)]
    stages += [store.finished(Stage.SEAL, type(made_record(store.spec(), made_score(1)).sealed))]  # type: ignore[list-item]
    entries, sealed = store.ledger_entries(), stages[1]
    assert sealed is not None
    record = replace(
        made_record(store.spec(), made_score(0.5), VerdictLabel.DISQUALIFIED),
        spec_sha256=content_digest(store.spec()),
        sealed=sealed.output,
        admitted=Admitted("absent", "none", None),
        stages=tuple(stage.record for stage in stages if stage),
        ledger_entries=len(entries),
        ledger_head=check_chain(entries),
        kept=kept(store.layout, {attempt}),
    )
    store.publish(record, number, key)


def wrong(verified: Verified) -> list[str]:
    return [check.what for check in verified.checks if not check.holds]


def test_a_published_run_holds_and_is_signed_here(store: RunStore, key: InstallationKey) -> None:
    verified = verify(store, Keys(key.public_key))
    assert (wrong(verified), verified.signed, verified.fingerprint) == ([], Signed.HERE, key.fingerprint)
    checked = {check.what for check in verified.checks}
    assert {"signature", "workspace", "attempts/1/transcript.jsonl", "attempts/1/evaluation"} <= checked


def test_who_signed_is_told_in_different_words(store: RunStore, key: InstallationKey, tmp_path: Path) -> None:
    other = installation_key(tmp_path / "other")
    assert verify(store, Keys()).signed is Signed.UNKNOWN
    assert verify(store, Keys(other.public_key)).signed is Signed.UNKNOWN
    assert verify(store, Keys(other.public_key, frozenset({key.public_key}))).signed is Signed.TRUSTED
    publish(store, None)
    unsigned = verify(store, Keys(key.public_key))
    assert (unsigned.signed, unsigned.fingerprint, wrong(unsigned)) == (Signed.NOT, None, [])


def test_with_keys_to_trust_everything_else_fails(
    store: RunStore, key: InstallationKey, tmp_path: Path
) -> None:
    other = installation_key(tmp_path / "other")
    assert wrong(verify(store, Keys(None, frozenset({other.public_key})))) == ["signature"]
    publish(store, None)
    assert wrong(verify(store, Keys(None, frozenset({key.public_key})))) == ["signature"]


def edit_record(store: RunStore, old: str, new: str) -> None:
    path = store.layout.records / "1.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


CHANGES: dict[str, tuple[Callable[[RunStore], object], str]] = {
    "the verdict": (lambda s: edit_record(s, '"disqualified"', '"clean"'), "signature"),
    "the score": (lambda s: edit_record(s, "0.5", "0.9"), "signature"),
    "a field that nobody knows": (lambda s: edit_record(s, "{", '{"more": 1,'), "signature"),
    "another key": (lambda s: edit_record(s, '"public_key": "', '"public_key": "AA'), "signature"),
    "an agent's file": (
        lambda s: (s.layout.attempt(1).workspace / "train.py").write_text("print('howdy')"),
        "workspace",
    ),
    "an agent's file put in": (lambda s: (s.layout.attempt(1).home / "new").write_text(""), "workspace"),
    "an agent's file taken away": (
        lambda s: (s.layout.attempt(1).workspace / "train.py").unlink(),
        "workspace",
    ),
    "the transcript": (
        lambda s: s.layout.attempt(1).transcript.write_text("{}"),
        "attempts/1/transcript.jsonl",
    ),
    "the transcript taken away": (
        lambda s: s.layout.attempt(1).transcript.unlink(),
        "attempts/1/transcript.jsonl",
    ),
    "a sample": (
        lambda s: (s.layout.attempt(1).evaluation / "samples.jsonl").write_text("{}"),
        "attempts/1/evaluation",
    ),
    "the manifest": (lambda s: s.layout.attempt(1).manifest.open("a").write("{}\n"), "manifest"),
    "a stage": (lambda s: s.layout.attempt(1).stage(Stage.SEAL).open("a").write(" "), "stage seal"),
    "the ledger": (lambda s: s.layout.ledger.write_text(""), "ledger"),
    "the spec": (
        lambda s: s.layout.spec.write_text(s.layout.spec.read_text().replace('"seed": 0', '"seed": 1')),
        "spec",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(change: str, store: RunStore, key: InstallationKey) -> None:
    make, what = CHANGES[change]
    make(store)
    assert what in wrong(verify(store, Keys(key.public_key)))


def test_formatting_is_no_change(store: RunStore, key: InstallationKey) -> None:
    path = store.layout.records / "1.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert verify(store, Keys(key.public_key)).holds


def test_a_newer_record_that_was_taken_away_shows(store: RunStore, key: InstallationKey) -> None:
    publish(store, key)
    (store.layout.records / "2.json").unlink()
    assert wrong(verify(store, Keys(key.public_key))) == ["ledger"]


def test_a_link_that_an_archiver_replaced_by_its_file_is_no_change(
    store: RunStore, key: InstallationKey
) -> None:
    (store.layout.attempt(1).home / "link").unlink()
    (store.layout.attempt(1).home / "link").write_text("print('hello')")
    assert verify(store, Keys(key.public_key)).holds


@pytest.mark.parametrize("argv", [["tar", "czf", "sent", "runs"], ["tar", "cf", "sent", "-C", "runs", "run"]])
def test_a_run_that_is_sent_is_checked(
    argv: list[str], store: RunStore, key: InstallationKey, tmp_path: Path, capsys
) -> None:
    (tmp_path / "key.pub").write_text(public_pem(key.public_key))
    subprocess.run(argv, cwd=tmp_path, check=True)
    verify_verb(tmp_path / "sent", [tmp_path / "key.pub"], as_json=False)
    assert f"{Signed.TRUSTED.value}, key {key.fingerprint[:16]}" in capsys.readouterr().out
    edit_record(store, "0.5", "0.9")
    subprocess.run(argv, cwd=tmp_path, check=True)
    with pytest.raises(typer.Exit):
        verify_verb(tmp_path / "sent", [], as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["signed"] == Signed.BROKEN.value
    (tmp_path / "nothing").write_text("hello")
    with pytest.raises(InvalidFile):
        verify_verb(tmp_path / "nothing", [], as_json=False)


# --- disputes -----------------------------------------------------------------------------------------------


def test_a_dispute_is_signed_kept_beside_the_record_and_marked_on_the_leaderboard(
    store: RunStore, tmp_path: Path, capsys
) -> None:
    assert Mark.DISPUTED not in leaderboard_of(tmp_path / "runs", None, PAPER).entries[0].marks
    before = store.record_text(1)
    dispute_verb(store.layout.root, "  the items are in the public train set ")
    (dispute,) = store.disputes()
    assert (dispute.text, dispute.record) == ("the items are in the public train set", 1)
    assert dispute.signature is not None
    assert store.record_text(1) == before
    board = leaderboard_of(tmp_path / "runs", None, PAPER)
    assert Mark.DISPUTED in board.entries[0].marks
    assert "disqualified" in board.entries[0].cells[0].runs[0].why
    assert "disputed" in capsys.readouterr().out


def test_a_changed_dispute_shows(store: RunStore, key: InstallationKey) -> None:
    store.dispute("first", key)
    store.dispute("second", key)
    assert verify(store, Keys(key.public_key)).holds
    path, _ = next(iter(store.dispute_files()))
    path.write_text(path.read_text().replace('"text": "', '"text": "not '))
    assert wrong(verify(store, Keys(key.public_key))) == ["disputes"]


def test_an_empty_dispute_or_one_of_nothing_is_refused(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="characters"):
        dispute_verb(store.layout.root, " ")
    empty = RunStore(tmp_path / "empty")
    empty.create(made_spec(SUITE, SUITE.tasks()[0]), SUITE)
    with pytest.raises(SetupError, match="no record to dispute"):
        dispute_verb(empty.layout.root, "why")
