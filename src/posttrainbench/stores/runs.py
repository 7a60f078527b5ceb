"""One run directory: its spec, the stages that its attempts finished, its ledger, its published records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

from posttrainbench.digest import sha256_text
from posttrainbench.errors import AlreadyPublished, InvalidFile, SetupError
from posttrainbench.layout import AttemptLayout, RunLayout
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import RunRecord, RunSpec, Stage, StageRecord
from posttrainbench.signature import Dispute, covered
from posttrainbench.stores.claims import Claim, Owner, attempt_numbers, claim
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import publish, write_atomic
from posttrainbench.stores.keys import InstallationKey
from posttrainbench.stores.ledger import Ledger, read_entries, utc_now
from posttrainbench.task import Suite

Output = TypeVar("Output")
Signable = TypeVar("Signable", RunRecord, Dispute)


@dataclass(frozen=True, slots=True)
class StageFile:
    """What stands in stages/STAGE.json: the frame around a stage's output, which is kept as JSON text."""

    stage: Stage
    attempt: int
    finished_utc: str
    wall_s: float
    output: str


@dataclass(frozen=True, slots=True)
class Finished(Generic[Output]):
    """A finished stage: what it left, and the attempt whose folder holds its files."""

    attempt: AttemptLayout
    output: Output
    record: StageRecord


class RunStore:
    """Reads and writes one run directory."""

    def __init__(self, root: Path) -> None:
        self.layout = RunLayout(root)

    def create(self, spec: RunSpec, suite: Suite) -> None:
        """Write the suite and the spec, once; the same again changes nothing.

        Raises:
            SetupError: the directory already holds a different run.
        """
        try:
            # The spec comes last: a directory without one is no run yet, so nothing here can be half a run.
            if not self.layout.spec.exists():
                write_atomic(self.layout.suite, to_json(suite))
            publish(self.layout.spec, to_json(spec))
        except FileExistsError:
            if self.spec() != spec:
                raise SetupError(
                    f"{self.layout.root} already holds another run (its spec.json differs, by version or by "
                    f"setting); choose another --out or remove that folder"
                ) from None

    def spec(self) -> RunSpec:
        """What the run is asked to be.

        Raises:
            SetupError: there is no spec.json here, or it cannot be read.
        """
        try:
            return from_json(RunSpec, self.layout.spec.read_text(), str(self.layout.spec))
        except FileNotFoundError:
            raise SetupError(f"{self.layout.root} is no run directory: it has no spec.json") from None
        except UnicodeDecodeError:
            raise InvalidFile(f"{self.layout.spec} is no text") from None

    def suite(self) -> Suite:
        """The suite that the run belongs to, as it was when the run was made.

        Raises:
            InvalidFile: it cannot be read, or is not the suite whose digest the spec names.
        """
        path = self.layout.suite
        if not path.exists():
            raise InvalidFile(f"{path} is missing: the run directory is not whole")
        suite = from_json(Suite, path.read_text(), str(path))
        if suite.digest != self.spec().suite_digest:
            raise InvalidFile(f"{path} is not the suite that spec.json names (digest {suite.digest[:12]})")
        return suite

    def claim(self, scheduler_says_gone: Callable[[Owner], bool | None] = lambda _: None) -> Claim:
        """The next attempt, for this process (see `claims.claim`)."""
        return claim(self.layout, scheduler_says_gone)

    def finish(self, attempt: AttemptLayout, stage: Stage, output: object, wall_s: float) -> None:
        """Record that a stage is finished; from here on it is never repeated by itself."""
        frame = StageFile(stage, attempt.number, utc_now(), wall_s, to_json(output))
        write_atomic(attempt.stage(stage), to_json(frame))

    def finished(self, stage: Stage, noun: type[Output]) -> Finished[Output] | None:
        """The newest finished output of a stage, or None."""
        for number in reversed(attempt_numbers(self.layout)):
            attempt = self.layout.attempt(number)
            path = attempt.stage(stage)
            if path.exists():
                text = path.read_text()
                frame = from_json(StageFile, text, str(path))
                output = from_json(noun, frame.output, str(path))
                record = StageRecord(stage, number, frame.finished_utc, frame.wall_s, sha256_text(text))
                return Finished(attempt, output, record)
        return None

    def required(self, stage: Stage, noun: type[Output]) -> Finished[Output]:
        """The newest finished output of a stage.

        Raises:
            InvalidFile: it never finished.
        """
        found = self.finished(stage, noun)
        if found is None:
            raise InvalidFile(f"stage {stage} of {self.layout.root} is missing")
        return found

    def attempts(self) -> int:
        """How many attempts were made."""
        return len(attempt_numbers(self.layout))

    def ledger(self) -> Ledger:
        return Ledger(self.layout.ledger)

    def ledger_entries(self) -> tuple[LedgerEntry, ...]:
        return read_entries(self.layout.ledger)

    def publish(self, record: RunRecord, number: int, key: InstallationKey | None = None) -> None:
        """Publish record `number`, signed with `key`, and point record.json at it.

        Raises:
            AlreadyPublished: another worker was first.
        """
        path = self.layout.records / f"{number}.json"
        try:
            publish(path, signed_text(record, "record", key))
        except FileExistsError:
            raise AlreadyPublished(f"{path} was published by another worker; it was left as it is") from None
        finally:
            self._point_at_newest()

    def records(self) -> int:
        """How many records are published."""
        return max((int(p.stem) for p in self.layout.records.glob("[0-9]*.json")), default=0)

    def record(self) -> RunRecord | None:
        """The newest published record, or None while there is none."""
        number = self.records()
        return self._record(number) if number else None

    def every_record(self) -> Iterator[RunRecord]:
        """Every published record, oldest first."""
        return (self._record(number) for number in range(1, self.records() + 1))

    def _record(self, number: int) -> RunRecord:
        path = self.layout.records / f"{number}.json"
        return from_json(RunRecord, path.read_text(), str(path))

    def record_text(self, number: int) -> str:
        """A published record as it lies there: what its signature covers."""
        return (self.layout.records / f"{number}.json").read_text()

    def dispute(self, text: str, key: InstallationKey | None) -> Dispute:
        """Put a signed note beside the newest record.

        Raises:
            SetupError: nothing is published yet.
        """
        number = self.records()
        if not number:
            raise SetupError(f"{self.layout.root} has no record to dispute; finish it: ptb run")
        digest = hashlib.sha256(covered(self.record_text(number), "record")).hexdigest()
        dispute = Dispute(text, self.spec().run_id, number, digest, utc_now())
        publish(self.layout.disputes / f"{uuid4().hex}.json", signed_text(dispute, "dispute", key))
        return dispute

    def disputes(self) -> tuple[Dispute, ...]:
        """Every dispute, oldest first.

        Raises:
            InvalidFile: one cannot be read.
        """
        return tuple(sorted((one for _, one in self.dispute_files()), key=lambda one: (one.at_utc, one.text)))

    def dispute_files(self) -> Iterator[tuple[Path, Dispute]]:
        """Every dispute and its file."""
        for path in sorted(self.layout.disputes.glob("*.json")):
            yield path, from_json(Dispute, path.read_text(), str(path))

    def _point_at_newest(self) -> None:
        link = self.layout.record.with_name(f".record.{uuid4().hex}")
        link.symlink_to(os.path.join("records", f"{self.records()}.json"))  # noqa: PTH118 - a link's text, no path
        link.replace(self.layout.record)


def signed_text(document: Signable, what: str, key: InstallationKey | None) -> str:
    """A document as JSON text, signed if there is a key."""
    if key is not None:
        document = replace(document, signature=key.sign(covered(to_json(document), what)))
    return to_json(document)


def find_runs(root: Path) -> Iterator[RunStore]:
    """Every run directory at or below `root`, by path; folders without a spec.json are not runs."""
    if RunLayout(root).spec.exists():
        yield RunStore(root)
        return
    for child in sorted(root.iterdir()) if root.is_dir() else ():
        if child.is_dir() and not child.is_symlink():
            yield from find_runs(child)
