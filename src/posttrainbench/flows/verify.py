"""Verify: whether a run directory is what its record says.

Covered: a ledger entry changed, dropped or moved; a stage's output, the manifest, the spec, the suite, the
transcript's bytes that the manifest names, or the admitted model changed after publication.
Not covered: whoever rewrites everything and the record too; that needs a signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.digest import content_digest, sha256_text
from posttrainbench.errors import PtbError
from posttrainbench.ledger import GENESIS, check_chain
from posttrainbench.record import RunRecord, Stage, StageRecord
from posttrainbench.stores.checkpoints import open_checkpoint, tensors_digest, weight_files
from posttrainbench.stores.runs import RunStore


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared."""

    what: str
    holds: bool
    detail: str


def verify(store: RunStore) -> tuple[Check, ...]:
    """Every comparison that can be made, in order; a run without a record fails the first."""
    record = store.record()
    if record is None:
        return (Check("record", False, "no record was published"),)
    return tuple(_checks(store, record))


def _checks(store: RunStore, record: RunRecord) -> Iterator[Check]:
    yield _check("spec", lambda: _same(content_digest(store.spec()), record.spec_sha256))
    yield _check("suite", lambda: _same(store.suite().digest, record.spec.suite_digest))
    yield _check("ledger", lambda: _ledger(store, record))
    for stage in record.stages:
        yield _check(f"stage {stage.stage}", lambda stage=stage: _stage(store, stage))  # type: ignore[misc]
    yield _check("manifest", lambda: _manifest(store, record))
    if record.admitted.digest is not None:
        yield _check("admitted model", lambda: _admitted(store, record))


def _check(what: str, look: Callable[[], str]) -> Check:
    """`look` returns "" when all is well, else what is wrong; what it raises is wrong too."""
    try:
        wrong = look()
    except (OSError, PtbError) as error:
        wrong = str(error)
    return Check(what, not wrong, wrong or "as recorded")


def _same(found: str, recorded: str) -> str:
    return "" if found == recorded else f"its digest is {found[:12]}, recorded was {recorded[:12]}"


def _ledger(store: RunStore, record: RunRecord) -> str:
    entries = store.ledger_entries()
    check_chain(entries)
    if len(entries) < record.ledger_entries:
        return f"{len(entries)} entries, of {record.ledger_entries} when the record was published"
    head = entries[record.ledger_entries - 1].digest if record.ledger_entries else GENESIS
    return _same(head, record.ledger_head)


def _stage(store: RunStore, stage: StageRecord) -> str:
    path = store.layout.attempt(stage.attempt).stage(stage.stage)
    return _same(sha256_text(path.read_text()), stage.sha256)


def _manifest(store: RunStore, record: RunRecord) -> str:
    path = store.layout.attempt(_attempt(record, Stage.SEAL)).manifest
    return _same(_sha256_file(path), record.sealed.manifest_sha256)


def _admitted(store: RunStore, record: RunRecord) -> str:
    folder = store.layout.attempt(_attempt(record, Stage.ADMIT)).admitted_model
    with open_checkpoint(folder.parent, folder.name, weight_files(folder)) as model:
        return _same(tensors_digest(model), record.admitted.digest or "")


def _attempt(record: RunRecord, stage: Stage) -> int:
    return next(done.attempt for done in record.stages if done.stage is stage)


def _sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
