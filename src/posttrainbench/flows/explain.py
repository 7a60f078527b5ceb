"""Explain: a published verdict, so that a person sees why within a minute, and can look for himself.

Covered: each finding that weighs, its rule, what it leaves unproven, the agent's own words where it stands
(test items' words withheld), a command that shows the place.
Not covered: whether the finding is right; that is for the person who looks, or disputes it.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.auditing.judging import CHECK as JUDGE
from posttrainbench.auditing.meaning import meaning_of
from posttrainbench.auditing.quoting import Secrets, is_own, quote, secrets_of
from posttrainbench.budget import MIB
from posttrainbench.errors import PtbError
from posttrainbench.explanation import Explained, Explanation, Shown
from posttrainbench.finding import CheckStatus, Evidence, Finding, Strength
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import LedgerEntry
from posttrainbench.protocols import TestItem
from posttrainbench.record import RunRecord, Stage
from posttrainbench.stores.documents import texts_at, transcript_texts_at
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.trees import open_regular, read_text

SHOWN = 3  # pieces of evidence per finding
_WEIGHT = (Strength.DISQUALIFYING, Strength.SUSPICIOUS)
_TOLD = ("method", "repo_id", "revision", "file", "decision", "status", "bytes_out", "sha256")
_PLACE = re.compile(r"(line|entry|row|megabyte) (\d+)")
_LEDGER = re.compile(r"ledger entry (\d+)")
_GIVEN_BYTES = 1 * MIB  # of a file of ours that an agent changed
_DIFFERENCES = 3  # lines
_NO_DATA = (
    "not quoted: the benchmark's data are not on this machine, so a test item's words could not be withheld"
)
_UNPACK = {b"\x1f\x8b": "zcat", b"BZh": "bzcat", b"\xfd7zXZ": "xzcat"}


def explain(store: RunStore, record: RunRecord, test: Sequence[TestItem] | None) -> Explanation:
    """Why the run of `record` has its verdict.

    Args:
        test: the benchmark's test items, whose words are withheld; None when they are not on this machine:
            then nothing of the agent's files is quoted.
    """
    attempts = {done.stage: store.layout.attempt(done.attempt) for done in record.stages}
    run = _Run(
        store,
        attempts[Stage.SOLVE],
        attempts.get(Stage.PREPARE, attempts[Stage.SOLVE]),
        store.ledger_entries(),
        None if test is None else secrets_of(test),
    )
    audit = attempts.get(Stage.AUDIT, attempts[Stage.SOLVE]).audit
    findings = [finding for check in record.verdict.checks for finding in check.findings]
    return Explanation(
        run_id=record.spec.run_id,
        verdict=record.verdict,
        explained=tuple(
            run.explained(finding, str((audit / f"{finding.check}.jsonl").relative_to(store.layout.root)))
            for strength in _WEIGHT
            for finding in findings
            if finding.strength is strength
        ),
        silent=tuple(check for check in record.verdict.checks if check.status is CheckStatus.NOT_RUN),
        disputes=store.disputes(),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Where the evidence of one run lies."""

    store: RunStore
    solved: AttemptLayout
    prepared: AttemptLayout
    ledger: Sequence[LedgerEntry]
    secrets: Secrets | None

    def explained(self, finding: Finding, evidence_file: str) -> Explained:
        chosen = _one_of_each_file(finding.evidence)[:SHOWN]
        return Explained(
            finding,
            meaning_of(finding),
            tuple(
                self.of_judge(evidence, evidence_file) if finding.check == JUDGE else self.shown(evidence)
                for evidence in chosen
            ),
            len(finding.evidence) - len(chosen),
            evidence_file,
        )

    def shown(self, evidence: Evidence) -> Shown:
        """What can be seen of one piece of evidence; what an agent left may be odd in any way."""
        try:
            if entry := _LEDGER.fullmatch(evidence.locator):
                return self.of_ledger(evidence, int(entry[1]))
            if place := _PLACE.fullmatch(evidence.locator):
                return self.of_text(evidence, place[1], int(place[2]))
            if evidence.source.startswith("workspace/"):
                return self.of_given(evidence)
        except (OSError, ValueError, PtbError) as problem:
            return Shown(evidence, None, f"cannot be read: {' '.join(str(problem).split())[:200]}", None)
        return Shown(evidence, None, "nothing to quote; the same check again: ptb audit", None)

    def of_ledger(self, evidence: Evidence, index: int) -> Shown:
        """A request, with the words of the ledger."""
        entry = self.ledger[index]
        told = {key: value for key in _TOLD if (value := entry.data.get(key)) not in (None, "")}
        said = ", ".join(f"{key} {value}" for key, value in (told or entry.data).items())
        command = f"sed -n {index + 1}p {self.quoted(self.store.layout.ledger)}"
        return Shown(evidence, f"{entry.at_utc} {entry.kind}: {said}", "", command)

    def of_text(self, evidence: Evidence, unit: str, number: int) -> Shown:
        """The agent's own words around a test item."""
        command = self.command(evidence.source, unit, number)
        if self.secrets is None:
            return Shown(evidence, None, _NO_DATA, command)
        read = transcript_texts_at if evidence.source == self.solved.transcript.name else texts_at
        texts = read(self.solved.root, evidence.source, evidence.locator)
        quotes = (quote(text, self.secrets, evidence.item_id) for text in texts)
        found = max((one for one in quotes if one), key=lambda one: "withheld" in one, default=None)
        remark = "" if found else "nothing is there by now that could be quoted; compare with the manifest"
        return Shown(evidence, found, remark, command)

    def of_judge(self, evidence: Evidence, evidence_file: str) -> Shown:
        """A judge's quotation stands in the evidence; to be seen is where it comes from, or what was read."""
        lies = self.solved.root / evidence.source
        read = self.store.layout.root / evidence_file.removesuffix(".jsonl") / "vote-1" / "asked.md"
        return Shown(evidence, None, "", f"cat -v {self.quoted(lies if lies.is_file() else read)} | less")

    def of_given(self, evidence: Evidence) -> Shown:
        """What differs from the file that was given."""
        name = evidence.source.removeprefix("workspace/")
        before = read_text(self.prepared.prepared, name, _GIVEN_BYTES).splitlines()
        after = read_text(self.solved.root, evidence.source, _GIVEN_BYTES).splitlines()
        changes = [
            line
            for line in difflib.unified_diff(before, after, n=0, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
        more = [f"(and {len(changes) - _DIFFERENCES} more lines)"] if len(changes) > _DIFFERENCES else []
        given, left = self.prepared.prepared / name, self.solved.root / evidence.source
        command = f"diff {self.quoted(given)} {self.quoted(left)} | cat -v"
        if self.secrets is None:
            return Shown(evidence, None, _NO_DATA, command)
        secrets = self.secrets
        first = sorted(changes, key=lambda line: line.startswith("-"))[:_DIFFERENCES]  # the agent's lines
        shown = (line if is_own(line, secrets) else quote(line, secrets, None) for line in first)
        return Shown(evidence, "  ".join([*filter(None, shown), *more]), "", command)

    def command(self, source: str, unit: str, number: int) -> str | None:
        """What a person types to see a place; control characters come out written."""
        path = self.solved.root / source
        if not path.exists():  # a member of an archive: its path begins with the archive's
            path = self.solved.root / source.partition("!")[0]
        file, shown = self.quoted(path), "cut -c1-2000 | cat -v"
        unpack = _unpacker(self.solved.root, path)
        if "!" in source and not unpack:
            return f"file {file}"
        if unit == "line":
            return (
                f"{unpack} {file} | sed -n {number}p | {shown}"
                if unpack
                else f"sed -n {number}p {file} | {shown}"
            )
        if unit == "megabyte":
            return f"tail -c +{(number - 1) * MIB + 1} {file} | head -c {MIB} | strings -n 16 | less"
        program = {
            "entry": "import json, sys; d = json.load(open(sys.argv[1])); "
            "print(ascii((d if isinstance(d, list) else [d])[int(sys.argv[2]) - 1]))",
            "row": "import sys, pyarrow.parquet as p; "
            "print(ascii(p.read_table(sys.argv[1]).slice(int(sys.argv[2]) - 1, 1).to_pylist()))",
        }[unit]
        return f"python3 -c {shlex.quote(program)} {file} {number}"

    def quoted(self, path: Path) -> str:
        """A path from the run directory as a shell takes it; the shell undoes \\xNN of odd characters."""
        text = str(path.relative_to(self.store.layout.root))
        if "\\" not in text:
            return shlex.quote(text)
        return "$'" + text.replace("'", "\\'") + "'"


def _one_of_each_file(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The first piece of each file: three lines of one file say little more than one."""
    return list({one.source: one for one in reversed(evidence)}.values())[::-1]


def _unpacker(root: Path, path: Path) -> str | None:
    with open_regular(root, path.resolve().relative_to(root.resolve()).as_posix()) as file:
        start = file.read(8)
    return next((command for magic, command in _UNPACK.items() if start.startswith(magic)), None)
