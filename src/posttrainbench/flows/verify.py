"""Verify: whether a run directory is what its record says, and who vouches for the record.

Covered: a ledger entry changed, dropped or moved; a stage's output, the manifest, a file of the sealed
workspace, the transcript, the evaluation's samples, audit evidence, the spec, the suite or the admitted model
changed after publication; a record changed after it was signed; a newer record taken away.
Not covered: whoever holds the key and rewrites everything; a run without a signature rewritten as a whole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from posttrainbench.digest import content_digest, sha256_text
from posttrainbench.errors import PtbError
from posttrainbench.flows.seal import is_prunable, sealed_facts
from posttrainbench.ledger import GENESIS, LedgerEntry, check_chain
from posttrainbench.record import FileFact, Kept, RunRecord, Stage, StageRecord
from posttrainbench.signature import Signature, Signed, covered
from posttrainbench.stores.checkpoints import open_checkpoint, tensors_digest, weight_files
from posttrainbench.stores.codec import from_json
from posttrainbench.stores.keys import fits
from posttrainbench.stores.remains import kept_at
from posttrainbench.stores.runs import RunStore


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared."""

    what: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Public keys, 32 bytes each: this installation's own, if it has one, and those that a person trusts."""

    own: bytes | None = None
    trusted: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Verified:
    """A run's comparisons in order, and who vouches for its newest record."""

    checks: tuple[Check, ...]
    signed: Signed
    fingerprint: str | None  # of the key that signed; None: not signed

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


def verify(store: RunStore, keys: Keys) -> Verified:
    """Every comparison that can be made; a run without a record fails the first.

    With keys that a person trusts, a record that nobody of them signed, nor this installation, fails too.
    """
    record = store.record()
    if record is None:
        return Verified((Check("record", False, "no record was published"),), Signed.NOT, None)
    signed = _signed(record.signature, lambda: covered(store.record_text(store.records()), "record"), keys)
    checks = (_signature(signed, keys), *_checks(store, record))
    named = record.signature is not None and signed is not Signed.BROKEN
    return Verified(checks, signed, record.signature.fingerprint if named and record.signature else None)


def _signed(signature: Signature | None, content: Callable[[], bytes], keys: Keys) -> Signed:
    if signature is None:
        return Signed.NOT
    if not fits(signature, content()):
        return Signed.BROKEN
    key = base64.b64decode(signature.public_key)
    if key == keys.own:
        return Signed.HERE
    return Signed.TRUSTED if key in keys.trusted else Signed.UNKNOWN


def _signature(signed: Signed, keys: Keys) -> Check:
    wanted = {Signed.HERE, Signed.TRUSTED} if keys.trusted else set(Signed) - {Signed.BROKEN}
    return Check("signature", signed in wanted, signed.value)


def _checks(store: RunStore, record: RunRecord) -> Iterator[Check]:
    yield _check("spec", lambda: _spec(store, record))
    yield _check("suite", lambda: _same(store.suite().digest, record.spec.suite_digest))
    yield _check("ledger", lambda: _ledger(store, record))
    for stage in record.stages:
        yield _check(f"stage {stage.stage}", lambda stage=stage: _stage(store, stage))  # type: ignore[misc]
    yield _check("manifest", lambda: _manifest(store, record))
    yield _check("workspace", lambda: _workspace(store, record))
    for one in record.kept:
        yield _check(one.path, lambda one=one: _kept(store, one))  # type: ignore[misc]
    if record.admitted.digest is not None:
        yield _check("admitted model", lambda: _admitted(store, record))
    if store.layout.disputes.exists():
        yield _check("disputes", lambda: _disputes(store))


def _check(what: str, look: Callable[[], str]) -> Check:
    """`look` returns "" when all is well, else what is wrong; what it raises is wrong too."""
    try:
        wrong = look()
    except (OSError, ValueError, PtbError) as error:
        wrong = str(error)
    return Check(what, not wrong, wrong or "as recorded")


def _same(found: str, recorded: str) -> str:
    return "" if found == recorded else f"its digest is {found[:12]}, recorded was {recorded[:12]}"


def _spec(store: RunStore, record: RunRecord) -> str:
    if store.spec() != record.spec:
        return "spec.json is not the spec in the record"
    return _same(content_digest(store.spec()), record.spec_sha256)


def _ledger(store: RunStore, record: RunRecord) -> str:
    entries = store.ledger_entries()
    check_chain(entries)
    if len(entries) < record.ledger_entries:
        return f"{len(entries)} entries, of {record.ledger_entries} when the record was published"
    announced = max((number for entry in entries if (number := _announced(entry))), default=0)
    if announced > store.records():
        return f"record {announced} is announced, record {store.records()} is the newest that is here"
    head = entries[record.ledger_entries - 1].digest if record.ledger_entries else GENESIS
    return _same(head, record.ledger_head)


def _announced(entry: LedgerEntry) -> int | None:
    """The number of the record that an entry announces, or None."""
    number = entry.data.get("record") if entry.kind == "stage" else None
    return number if isinstance(number, int) else None


def _stage(store: RunStore, stage: StageRecord) -> str:
    path = store.layout.attempt(stage.attempt).stage(stage.stage)
    return _same(sha256_text(path.read_text()), stage.sha256)


def _manifest(store: RunStore, record: RunRecord) -> str:
    path = store.layout.attempt(_attempt(record, Stage.SEAL)).manifest
    return _same(_sha256_file(path), record.sealed.manifest_sha256)


def _workspace(store: RunStore, record: RunRecord) -> str:
    """Whether the agent's files are those of the manifest; links and odd entries have no content."""
    manifest = store.layout.attempt(_attempt(record, Stage.SEAL)).manifest
    links = {fact.path for fact in _listed(manifest) if fact.kind == "link"}  # archivers may put files there
    solved = sealed_facts(store.layout.attempt(_attempt(record, Stage.SOLVE)))
    there = (content for fact in solved if fact.path not in links and (content := _content(fact)))
    # Both lists are in the same order.
    for was, now in zip_longest(filter(None, map(_content, _listed(manifest))), there):
        if was != now:
            path, *_ = min(one for one in (was, now) if one)
            return f"{path} is not what was sealed"
    return ""


def _listed(manifest: Path) -> Iterator[FileFact]:
    with manifest.open(encoding="utf-8") as lines:
        yield from (from_json(FileFact, line, manifest.name) for line in lines)


def _content(fact: FileFact) -> tuple[str, int, str | None] | None:
    """What must not change of an entry; None of entries without content, and of what sealing leaves out."""
    return (
        (fact.path, fact.size_bytes, fact.sha256) if fact.kind == "file" and not is_prunable(fact) else None
    )


def _kept(store: RunStore, recorded: Kept) -> str:
    return _same(kept_at(store.layout.root, recorded.path).sha256, recorded.sha256)


def _admitted(store: RunStore, record: RunRecord) -> str:
    folder = store.layout.attempt(_attempt(record, Stage.ADMIT)).admitted_model
    with open_checkpoint(folder.parent, folder.name, weight_files(folder)) as model:
        return _same(tensors_digest(model), record.admitted.digest or "")


def _disputes(store: RunStore) -> str:
    broken = [
        path.name
        for path, dispute in store.dispute_files()
        if dispute.signature and not fits(dispute.signature, covered(path.read_text(), "dispute"))
    ]
    return f"changed after they were signed: {', '.join(broken)}" if broken else ""


def _attempt(record: RunRecord, stage: Stage) -> int:
    return next(done.attempt for done in record.stages if done.stage is stage)


def _sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
