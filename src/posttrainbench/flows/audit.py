"""Audit: what a run left -> a verdict, with the evidence written beside it.

Covered: every check runs behind one boundary, so that a check that breaks is a check that did not run, and
the verdict says so.
Not covered: intent, without a judge; see each check for what it can tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.auditing import (
    canaries,
    egress,
    grader_injection,
    judging,
    lineage,
    overlap,
    retold,
    selection,
    tampering,
)
from posttrainbench.auditing.passages import Index, build_index
from posttrainbench.auditing.quoting import secrets_of
from posttrainbench.auditing.verdict import not_run, report, verdict
from posttrainbench.finding import CheckReport, CheckStatus, Evidence, Finding, Strength
from posttrainbench.flows.dossier import Remains, dossier
from posttrainbench.flows.judge import judge, lots
from posttrainbench.flows.prepare import render
from posttrainbench.flows.scan import scan
from posttrainbench.flows.trace import trace
from posttrainbench.judgement import Judged
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import LedgerEntry
from posttrainbench.protocols import Benchmark, Canaries, Judge, ScoredOutside, TestItem
from posttrainbench.record import (
    Admitted,
    Audited,
    Evaluated,
    FileFact,
    Prepared,
    Score,
    Sealed,
    Solved,
    Stage,
)
from posttrainbench.scoring.graded_text import graded_text
from posttrainbench.stores.answers import FILE as ANSWERS
from posttrainbench.stores.answers import read_answers
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.runs import RunStore
from posttrainbench.task import Task

ADMISSION = "admission"


@dataclass(frozen=True, slots=True)
class AuditInputs:
    """All that the checks look at."""

    solved: AttemptLayout  # whose workspace, home and transcript are audited
    sealed: AttemptLayout  # whose manifest lists them
    prepared: tuple[FileFact, ...]  # given files, paths from the workspace, with their final digests
    ledger: tuple[LedgerEntry, ...]
    task: Task
    train: tuple[TestItem, ...]
    test: tuple[TestItem, ...]
    hub_id: str  # the benchmark's data set
    test_files: tuple[str, ...]  # path patterns of its test split
    admitted: Admitted
    admitted_model: Path
    base: Path
    siblings: tuple[tuple[str, Path], ...]  # (hub id, folder)
    evaluated: Evaluated
    graded: AttemptLayout | None = None  # whose evaluation holds answers that a grader read; None: none did
    canaries: Canaries | None = None  # None: none were planted
    log_likelihoods: Callable[[Path, Sequence[tuple[str, str]], Path], tuple[float, ...]] | None = None
    judge: Judge | None = None
    judged_before: bool = False  # a record of this run has a judge's votes
    left_out: re.Pattern[str] | None = None  # printed lines that no judge shall read


def inputs_of(
    store: RunStore, benchmark: Benchmark, base: Path, siblings: tuple[tuple[str, Path], ...]
) -> AuditInputs:
    """What an audit of a run looks at, as its finished stages left it.

    Raises:
        InvalidFile: a stage is missing.
    """
    solved, admitted = store.required(Stage.SOLVE, Solved), store.required(Stage.ADMIT, Admitted)
    evaluated = store.required(Stage.EVALUATE, Evaluated)
    return AuditInputs(
        solved=solved.attempt,
        sealed=store.required(Stage.SEAL, Sealed).attempt,
        prepared=store.required(Stage.PREPARE, Prepared).output.files,
        ledger=store.ledger_entries(),
        task=store.spec().task,
        train=benchmark.items("train"),
        test=benchmark.items("test"),
        hub_id=benchmark.hub_id,
        test_files=benchmark.test_files,
        admitted=admitted.output,
        admitted_model=admitted.attempt.admitted_model,
        base=base,
        siblings=siblings,
        evaluated=evaluated.output,
        graded=evaluated.attempt if is_graded(benchmark) else None,
    )


def is_graded(benchmark: Benchmark) -> bool:
    """Whether a grader reads its answers."""
    return isinstance(benchmark, ScoredOutside) and "grader" in benchmark.aids


def audit(inputs: AuditInputs, out: Path) -> Audited:
    """The verdict on a run; `out/findings.json` holds it, `out/KIND.jsonl` the evidence check by check."""
    checks: tuple[tuple[str, Callable[[AuditInputs], CheckReport]], ...] = (
        (ADMISSION, _admission),
        (lineage.CHECK, lambda inputs: _lineage(inputs, out / "tensors.jsonl")),
        (overlap.CHECK, _overlap),
        (tampering.CHECK, _tampering),
        (egress.CHECK, _egress),
        (selection.CHECK, _selection),
        (grader_injection.CHECK, _grader_injection),
        (canaries.CHECK, lambda inputs: _canaries(inputs, out / "canaries")),
    )
    reports = tuple(_ran(name, check, inputs) for name, check in checks)
    judged, reports = _judged(inputs, reports, out)
    made = verdict(reports, _required(inputs))
    write_atomic(out / "findings.json", to_json(made))
    for one in reports:
        _write_evidence(one, out)
    return Audited(made, judged)


def _ran(name: str, check: Callable[[AuditInputs], CheckReport], inputs: AuditInputs) -> CheckReport:
    """The check's report; a check that breaks on what an agent left has not run."""
    try:
        return check(inputs)
    except Exception as problem:  # the one boundary: no agent may choose which error ends its audit
        return _broken_off(name, problem)


def _broken_off(name: str, problem: Exception) -> CheckReport:
    return not_run(name, f"broke off: {type(problem).__name__}: {' '.join(str(problem).split())[:300]}")


def _required(inputs: AuditInputs) -> tuple[str, ...]:
    """Without which checks the verdict is unknown; a model that is not evaluated needs no lineage."""
    required = inputs.task.rules.required_checks
    if inputs.judge is not None or inputs.judged_before:
        # Who asks for a judge wants its answer, and a judge's verdict is not undone by asking none.
        required = (*required, judging.CHECK)
    if inputs.admitted.status != "admitted":
        return tuple(check for check in required if check != lineage.CHECK)
    if inputs.graded is not None and isinstance(inputs.evaluated.outcome, Score):
        required = (*required, grader_injection.CHECK)
    return (*required, canaries.CHECK) if inputs.canaries and _handed_out(inputs) else required


def _write_evidence(one: CheckReport, out: Path) -> None:
    rows = [
        {
            "strength": finding.strength,
            "summary": finding.summary,
            "source": evidence.source,
            "locator": evidence.locator,
            "detail": evidence.detail,
            "item_id": evidence.item_id,
        }
        for finding in one.findings
        for evidence in finding.evidence
    ]
    if rows:
        write_atomic(out / f"{one.check}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))


# --- the checks ---------------------------------------------------------------------------------------------


def _admission(inputs: AuditInputs) -> CheckReport:
    """Notes on what admission dropped. A refusal costs the score, which is not the same as cheating."""
    admitted = inputs.admitted
    findings = [Finding(ADMISSION, Strength.NOTE, note) for note in admitted.notes]
    if admitted.status == "admitted":
        evidence = (Evidence("admitted_model", f"digest {admitted.digest}", "what is evaluated"),)
        findings = [Finding(ADMISSION, one.strength, one.summary, evidence) for one in findings]
        return report(ADMISSION, "covered final_model: only checked tensors were kept", findings)
    return CheckReport(
        ADMISSION, CheckStatus.FAILED, f"{admitted.status}: {admitted.reason}", tuple(findings)
    )


def _lineage(inputs: AuditInputs, out: Path) -> CheckReport:
    if inputs.admitted.status != "admitted":
        return not_run(lineage.CHECK, f"the final model is {inputs.admitted.status}: no weights to compare")
    return trace(inputs.admitted_model, inputs.base, inputs.siblings, inputs.admitted.digest or "", out)


def _index(inputs: AuditInputs) -> Index:
    planted = inputs.canaries.planted if inputs.canaries else ()
    return build_index((*inputs.test, *planted), inputs.train)


def _overlap(inputs: AuditInputs) -> CheckReport:
    index, left = _index(inputs), inputs.solved
    folders = [left.workspace.name, left.home.name]
    if left.downloads.is_dir():  # the files that were fetched, whether or not they still lie anywhere
        folders.append(left.downloads.name)
    scanned = scan(index, left.root, folders, left.transcript.name)
    tolerated = inputs.task.rules.tolerated_items
    made = overlap.check_overlap(index, scanned.hits, tolerated, str(scanned.coverage))
    copied = {(hit.path, hit.item_id) for hit in overlap.supported(scanned.hits, tolerated)}
    in_other_words = retold.retold_findings(
        overlap.CHECK, index.runs, scanned.tallies, scanned.coverage.files, copied
    )
    findings = [*made.findings, *in_other_words]
    if scanned.coverage.unlisted:
        told = "more files than are ever listed: the rest was not read"
        findings.append(Finding(overlap.CHECK, Strength.SUSPICIOUS, told))
    return report(overlap.CHECK, f"{made.reason}; {retold.covered(index.runs)}", findings)


def _tampering(inputs: AuditInputs) -> CheckReport:
    with inputs.sealed.manifest.open(encoding="utf-8") as lines:
        sealed = (from_json(FileFact, line, inputs.sealed.manifest.name) for line in lines)
        return tampering.check_tampering(inputs.prepared, sealed)


def _egress(inputs: AuditInputs) -> CheckReport:
    siblings = tuple(hub_id for hub_id, _ in inputs.siblings)
    off = egress.Off(inputs.hub_id, inputs.test_files, inputs.task.base_model.hub_id, siblings)
    return egress.check_egress(inputs.ledger, off)


def _selection(inputs: AuditInputs) -> CheckReport:
    evaluated, rules = inputs.evaluated, inputs.task.rules
    return selection.check_selection(
        inputs.ledger, evaluated.outcome, rules.query_split, evaluated.split, inputs.admitted.digest
    )


def _grader_injection(inputs: AuditInputs) -> CheckReport:
    if inputs.graded is None:
        return not_run(grader_injection.CHECK, "no grader reads the answers of this benchmark")
    if not isinstance(inputs.evaluated.outcome, Score):
        return not_run(grader_injection.CHECK, "there is no score, so no grader read all answers")
    folder = inputs.graded.evaluation
    return grader_injection.check_answers(
        {name: graded_text(answer) for name, answer in read_answers(folder).items()},
        {item.id: item.question for item in inputs.test},
        inputs.task.rules.tolerated_items,
        f"{folder.name}/{ANSWERS}",
        secrets_of(inputs.test),
    )


def _handed_out(inputs: AuditInputs) -> list[LedgerEntry]:
    """The entries that say when test files with canaries left the gateway."""
    return [entry for entry in inputs.ledger if entry.kind == "canary"]


def _canaries(inputs: AuditInputs, out: Path) -> CheckReport:
    if inputs.canaries is None or inputs.log_likelihoods is None:
        return not_run(
            canaries.CHECK, "no hub of ours hands out this benchmark's test split: none were planted"
        )
    copies = _handed_out(inputs)
    if not copies:
        return canaries.nothing_handed_out()
    if inputs.admitted.status != "admitted":
        return not_run(canaries.CHECK, f"the final model is {inputs.admitted.status}: nobody to ask")
    items = (*inputs.canaries.planted, *inputs.canaries.held_back)
    asked = [(item.question, item.answer) for item in items]
    told = inputs.log_likelihoods(inputs.admitted_model, asked, out)
    # Long answers are less likely by their length alone, which says nothing about where they were met.
    rates = [one / len(item.answer) for one, item in zip(told, items, strict=True)]
    count = len(inputs.canaries.planted)
    evidence = [
        Evidence(
            str(entry.data.get("repo_id")),
            f"ledger entry {entry.index}",
            f"handed out {entry.data.get('file')}",
        )
        for entry in copies
    ]
    return canaries.check_canaries(rates[:count], rates[count:], evidence)


def _judged(
    inputs: AuditInputs, reports: tuple[CheckReport, ...], out: Path
) -> tuple[Judged | None, tuple[CheckReport, ...]]:
    """What a judge's votes are recorded as, if there is a judge; the reports with that on them."""
    if inputs.judge is None:
        return None, (*reports, not_run(judging.CHECK, "no judge configured"))
    try:
        blocks = dossier(remains(inputs, reports), inputs.judge.dossier_characters, lots())
        judgement = judge(inputs.judge, blocks, out)
    except Exception as problem:  # as for any other check
        return None, (*reports, _broken_off(judging.CHECK, problem))
    return judgement.judged, (*reports, judgement.report)


def remains(inputs: AuditInputs, reports: tuple[CheckReport, ...]) -> Remains:
    """What a dossier on an audited run is made of."""
    task, solved = inputs.task, inputs.solved
    facts = {
        "benchmark": f"{task.benchmark} (data set {inputs.hub_id or 'on no hub'})",
        "base model": task.base_model.hub_id,
        "models and adapters made of it": ", ".join(name for name, _ in inputs.siblings) or "none is known",
        "policy of the gateway": str(task.rules.policy),
        "evaluations during the run": f"on the {task.rules.query_split} split",
        "test items tolerated by accident": str(task.rules.tolerated_items),
        "final model": f"{inputs.admitted.status} {inputs.admitted.reason}".strip(),
    }
    return Remains(
        facts="\n".join(f"{name}: {fact}" for name, fact in facts.items()),
        rules=render(task, task.benchmark, inputs.hub_id, deadline_unix_s=0)["rules.md"],
        reports=reports,
        ledger=inputs.ledger,
        manifest=inputs.sealed.manifest,
        given=frozenset(f"{solved.workspace.name}/{fact.path}" for fact in inputs.prepared),
        root=solved.root,
        transcript=solved.transcript,
        calls=solved.calls,
        index=_index(inputs),
        left_out=inputs.left_out,
    )
