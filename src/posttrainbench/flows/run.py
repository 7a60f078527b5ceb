"""A run: prepare, solve, seal, admit, evaluate, audit, record. Each stage reads what earlier ones left.

A stage that is finished is never repeated by itself; asked for by name (`again`), it is done anew in an
attempt of its own, beside the old one, and a new record is published.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from posttrainbench.auditing.passages import Index, build_index
from posttrainbench.budget import Spend
from posttrainbench.digest import content_digest, sha256_text
from posttrainbench.errors import AlreadyPublished, FailureKind
from posttrainbench.flows.admit import admit_from
from posttrainbench.flows.audit import audit, inputs_of
from posttrainbench.flows.evaluate import Evaluator, OutsideScorer
from posttrainbench.flows.prepare import fill, prepare
from posttrainbench.flows.seal import seal
from posttrainbench.flows.solve import Solver, solve
from posttrainbench.flows.spent import spent
from posttrainbench.layout import FINAL_MODEL, AttemptLayout
from posttrainbench.ledger import Scalar, check_chain
from posttrainbench.protocols import (
    Agent,
    Benchmark,
    Canaries,
    Gateway,
    Judge,
    Mount,
    PlantsCanaries,
    Sandbox,
    ScoringAids,
)
from posttrainbench.record import (
    Admitted,
    Audited,
    Evaluated,
    Failure,
    Outcome,
    Prepared,
    Provenance,
    RunRecord,
    RunSpec,
    Sealed,
    Solved,
    SolveEnd,
    Stage,
)
from posttrainbench.stores.checkpoints import open_trusted, tensors_digest
from posttrainbench.stores.keys import InstallationKey
from posttrainbench.stores.ledger import utc_now
from posttrainbench.stores.remains import code_digest, kept
from posttrainbench.stores.runs import Finished, RunStore
from posttrainbench.task import InspectSource

Output = TypeVar("Output")


@dataclass(frozen=True, slots=True)
class Members:
    """Who takes part in a run, and the folders on the host that they need."""

    agent: Agent
    sandbox: Sandbox
    gateway: Gateway
    benchmark: Benchmark
    base: Path
    siblings: tuple[tuple[str, Path], ...]  # (hub id, folder) of models that must not be submitted
    chat_template: str
    aids: ScoringAids | None = None  # for a benchmark that needs a grader or a sandbox to score answers
    data_mounts: tuple[Mount, ...] = ()  # the benchmark's data, for evaluations only: no agent ever sees them
    data_environment: Mapping[str, str] = field(default_factory=dict)
    own: InspectSource | None = None  # of a benchmark that comes with its suite
    shots: int = 0  # worked examples before each question, for a baseline that knows no chat
    key: InstallationKey | None = None  # signs the record; None: nobody does
    versions: tuple[tuple[str, str], ...] = ()  # of the packages that audit and score
    measured: Path | None = None  # evaluations that need not be made twice; see Evaluator
    judge: Judge | None = None
    left_out: re.Pattern[str] | None = None  # printed lines that no judge shall read


def run(store: RunStore, members: Members, again: frozenset[Stage] = frozenset()) -> RunRecord:
    """The published record of a run: what is there already, or what is missing done now.

    Raises:
        OwnedElsewhere: a live worker holds the run.
        SandboxUnavailable: nothing was started.
    """
    record = store.record()
    if record is not None and not again:
        return record
    with store.claim() as attempt:
        record = store.record()  # it may have been published while we waited for the claim
        if record is not None and not again:
            return record
        return _Run(store, members, attempt, again).record()


class _Run:
    """One attempt at a run: what is needed by every stage."""

    def __init__(
        self, store: RunStore, members: Members, attempt: AttemptLayout, again: frozenset[Stage]
    ) -> None:
        self.store, self.members, self.attempt, self.again = store, members, attempt, again
        self.spec: RunSpec = store.spec()
        self.ledger = store.ledger()
        self.log("attempt", {"number": attempt.number})

    def record(self) -> RunRecord:
        """Every stage in order, then the record."""
        prepared = self.stage(Stage.PREPARE, Prepared, self.prepare)
        solved = self.stage(Stage.SOLVE, Solved, lambda: self.solve(prepared))
        sealed = self.stage(Stage.SEAL, Sealed, lambda: seal(solved.attempt, self.attempt))
        admitted = self.stage(Stage.ADMIT, Admitted, lambda: self.admit(solved))
        evaluated = self.stage(Stage.EVALUATE, Evaluated, lambda: self.evaluate(solved, admitted))
        audited = self.stage(Stage.AUDIT, Audited, lambda: self.audit(prepared.output))
        return self.publish(prepared, solved, sealed, admitted, evaluated, audited)

    def log(self, kind: str, data: Mapping[str, Scalar]) -> None:
        self.ledger.append(kind, data)

    def stage(self, stage: Stage, noun: type[Output], do: Callable[[], Output]) -> Finished[Output]:
        """The stage's output: found if it is finished, else made now."""
        finished = self.store.finished(stage, noun)
        if finished is not None and (stage not in self.again or finished.attempt == self.attempt):
            return finished
        self.log("stage", {"stage": stage, "event": "start", "attempt": self.attempt.number})
        started = time.monotonic()
        output = do()
        wall_s = time.monotonic() - started
        self.store.finish(self.attempt, stage, output, wall_s)
        self.log("stage", {"stage": stage, "event": "end", "attempt": self.attempt.number, "wall_s": wall_s})
        return self.store.required(stage, noun)

    def prepare(self) -> Prepared:
        prepared = prepare(self.spec.task, self.members.benchmark, self.attempt.prepared)
        if not isinstance(self.members.benchmark, PlantsCanaries):
            return prepared
        return replace(prepared, canary_secret=secrets.token_hex(16))

    def solve(self, prepared: Finished[Prepared]) -> Solved:
        task, benchmark = self.spec.task, self.members.benchmark
        solver = Solver(
            self.members.agent,
            self.members.sandbox,
            self.members.gateway,
            self.evaluator(),
            self.members.base,
            task,
            self.spec.seed,
            lambda workspace, deadline: fill(task, benchmark, workspace, deadline),
            plant=self.plant(prepared.output),
            overlap_index=lambda: self.overlap_index(prepared.output),
        )
        earlier = spent(self.store.ledger_entries())
        return solve(solver, prepared.attempt.prepared, self.attempt, self.log, earlier)

    def plant(self, prepared: Prepared) -> Callable[[bytes], bytes] | None:
        """What puts the run's canaries into a test file; None when it has none."""
        benchmark, secret = self.members.benchmark, prepared.canary_secret
        if not secret or not isinstance(benchmark, PlantsCanaries):
            return None
        return lambda test_file: benchmark.plant(test_file, secret)

    def overlap_index(self, prepared: Prepared) -> Index:
        """What the audit will look for: nobody who asks before can tell a canary from an item."""
        benchmark, canaries = self.members.benchmark, self.canaries(prepared)
        planted = canaries.planted if canaries else ()
        return build_index((*benchmark.items("test"), *planted), benchmark.items("train"))

    def canaries(self, prepared: Prepared) -> Canaries | None:
        """The run's canaries; None when it has none."""
        benchmark, secret = self.members.benchmark, prepared.canary_secret
        return benchmark.canaries(secret) if secret and isinstance(benchmark, PlantsCanaries) else None

    def admit(self, solved: Finished[Solved]) -> Admitted:
        out = self.attempt.admitted_model
        return admit_from(
            solved.attempt.workspace, FINAL_MODEL, self.members.base, out, self.members.chat_template
        )

    def audit(self, prepared: Prepared) -> Audited:
        members = self.members
        inputs = replace(
            inputs_of(self.store, members.benchmark, members.base, members.siblings),
            canaries=self.canaries(prepared),
            log_likelihoods=self.evaluator().log_likelihoods,
            judge=members.judge,
            left_out=members.left_out,
            judged_before=any(record.judged is not None for record in self.store.every_record()),
        )
        return audit(inputs, self.attempt.audit)

    def evaluate(self, solved: Finished[Solved], admitted: Finished[Admitted]) -> Evaluated:
        """The final score, over items that the agent could not query."""
        split = "sealed" if self.spec.task.rules.query_split == "dev" else "test"
        refusal = self.refusal(solved.output, admitted.output)
        if refusal is not None:
            return Evaluated(refusal, split, 0.0)
        return self.evaluator().evaluate(admitted.attempt.admitted_model, split, self.attempt.evaluation)

    def evaluator(self) -> Evaluator:
        return Evaluator(
            self.members.sandbox,
            self.spec.task.benchmark,
            self.spec.engine,
            self.members.chat_template,
            self.spec.task.limits,
            mounts=self.members.data_mounts,
            environment=self.members.data_environment,
            gpus=self.spec.task.budget.gpus,
            outside=OutsideScorer(self.members.benchmark, self.members.aids) if self.members.aids else None,
            shots=self.members.shots,
            seed=self.spec.seed,
            own=self.members.own,
            measured=self.members.measured,
        )

    def provenance(self, evaluated: Evaluated) -> Provenance:
        """What score and verdict were made with."""
        with open_trusted(self.members.base) as base:
            base_sha256 = tensors_digest(base)
        return Provenance(
            split=evaluated.split,
            base_sha256=base_sha256,
            chat_template_sha256=sha256_text(self.members.chat_template),
            evaluated_with=evaluated.versions,
            published_with=self.members.versions,
            code_sha256=code_digest(),
            grading=evaluated.grading,
        )

    def refusal(self, solved: Solved, admitted: Admitted) -> Failure | None:
        """Why there is nothing to evaluate, or None."""
        if admitted.status == "admitted":
            return None
        if admitted.status == "refused":
            return Failure(FailureKind.REJECTED_MODEL, Stage.ADMIT, admitted.reason)
        if solved.end is SolveEnd.FINISHED:
            return Failure(FailureKind.NO_FINAL_MODEL, Stage.SOLVE, admitted.reason)
        ended = f"the agent ended by {solved.end} (status {solved.exit_code}) and left no final_model"
        ended += f": {solved.reason}" if solved.reason else ""
        if solved.end is SolveEnd.BUDGET_SPENT:
            return Failure(FailureKind.NO_FINAL_MODEL, Stage.SOLVE, ended)
        if solved.end is SolveEnd.LLM_FAILED or solved.earlier_wall_s >= self.spec.task.budget.wall_s:
            return Failure(FailureKind.INFRASTRUCTURE, Stage.SOLVE, ended)
        return Failure(FailureKind.AGENT_CRASHED, Stage.SOLVE, ended)

    def publish(
        self,
        prepared: Finished[Prepared],
        solved: Finished[Solved],
        sealed: Finished[Sealed],
        admitted: Finished[Admitted],
        evaluated: Finished[Evaluated],
        audited: Finished[Audited],
    ) -> RunRecord:
        """Put the record together and publish it, once."""
        number = self.store.records() + 1
        outcome: Outcome = evaluated.output.outcome
        self.log("stage", {"stage": Stage.RECORD, "event": "publish", "record": number})
        entries = self.store.ledger_entries()
        stages = (prepared, solved, sealed, admitted, evaluated, audited)
        record = RunRecord(
            spec=self.spec,
            spec_sha256=content_digest(self.spec),
            solved=solved.output,
            sealed=sealed.output,
            admitted=admitted.output,
            outcome=outcome,
            verdict=audited.output.verdict,
            judged=audited.output.judged,
            spend=replace(
                solved.output.model_calls or Spend(),
                wall_s=solved.output.earlier_wall_s + solved.output.wall_s,
                evaluations=solved.output.evaluations,
            ),
            stages=tuple(stage.record for stage in stages),
            attempts=self.store.attempts(),
            ledger_entries=len(entries),
            ledger_head=check_chain(entries),
            published_utc=utc_now(),
            kept=kept(self.store.layout, {stage.attempt for stage in stages}),
            provenance=self.provenance(evaluated.output),
        )
        try:
            self.store.publish(record, number, self.members.key)
        except AlreadyPublished:
            published = self.store.record()
            assert published is not None
            return published
        return record
