"""Solve: give the agent its workspace, its budget, its one way out; cut it off when the budget is spent."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from posttrainbench.flows.admit import admit_from
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.monitor import Monitor
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import Scalar
from posttrainbench.protocols import (
    HOME,
    WORKSPACE,
    Agent,
    Door,
    EvaluationAnswer,
    Gateway,
    GatewayJob,
    Mount,
    Sandbox,
    SandboxEnd,
    SandboxJob,
)
from posttrainbench.record import Failure, Solved, SolveEnd
from posttrainbench.stores.transcripts import TranscriptWriter
from posttrainbench.task import Task

GRACE_S = 3.0  # between TERM and the kill
_ENDED_BY = {
    "memory": SolveEnd.MEMORY_LIMIT,
    "disk": SolveEnd.DISK_LIMIT,
    "pids": SolveEnd.PIDS_LIMIT,
}
Log = Callable[[str, Mapping[str, Scalar]], None]


@dataclass(frozen=True, slots=True)
class Solver:
    """Who works, where, through which door, and who answers when the agent asks for an evaluation."""

    agent: Agent
    sandbox: Sandbox
    gateway: Gateway
    evaluator: Evaluator
    base: Path
    task: Task
    seed: int
    fill_workspace: Callable[
        [Path, float], None
    ]  # (workspace, deadline as unix seconds): the files that name it


def solve(solver: Solver, prepared: Path, attempt: AttemptLayout, log: Log) -> Solved:
    """Run the agent for at most its budget. When this returns, no process of the sandbox is left."""
    shutil.copytree(prepared, attempt.workspace)
    attempt.home.mkdir()
    isolation = solver.sandbox.isolation()
    queries = Queries(solver, attempt, time.monotonic() + solver.task.budget.wall_s)
    with (
        tempfile.TemporaryDirectory(prefix="ptb-") as short,
        TranscriptWriter(attempt.transcript) as transcript,
        Monitor(attempt.monitor, solver.task.budget.wall_s) as monitor,
    ):
        # A unix socket's path may be 108 bytes long, which a run directory's need not be.
        job = GatewayJob(
            Path(short) / "gateway.sock",
            solver.task.rules.policy,
            solver.task,
            queries.answer,
            log,
            attempt.calls,
        )
        with closing(solver.gateway.open(job)) as gateway:
            started = time.monotonic()
            queries.deadline = started + solver.task.budget.wall_s
            solver.fill_workspace(attempt.workspace, time.time() + solver.task.budget.wall_s)
            end, why = _work(solver, gateway.door, attempt, transcript.write, log, monitor)
            wall_s = time.monotonic() - started
        model_calls = gateway.spend()  # when no more can come
    return Solved(
        why,
        end.exit_code,
        wall_s,
        queries.asked,
        transcript.total_bytes,
        transcript.dropped_bytes,
        isolation,
        end.peak_memory_bytes,
        end.left_processes,
        model_calls,
        load=monitor.summary(),
    )


def _work(
    solver: Solver,
    door: Door,
    attempt: AttemptLayout,
    on_output: Callable[[bytes], None],
    log: Log,
    monitor: Monitor,
) -> tuple[SandboxEnd, SolveEnd]:
    """The agent from start to end, and why it ended."""
    process = monitor.show(solver.sandbox.start(_job(solver, door, attempt), on_output))
    end = process.wait(solver.task.budget.wall_s)
    if end is None:
        log("signal", {"what": "TERM, then KILL for every process", "why": "deadline", "grace_s": GRACE_S})
        return process.stop(GRACE_S), SolveEnd.DEADLINE
    if end.limit is not None:
        log("limit", {"what": end.limit, "peak_memory_bytes": end.peak_memory_bytes})
        return end, _ENDED_BY[end.limit]
    return end, SolveEnd.FINISHED if end.exit_code == 0 else SolveEnd.CRASHED


def _job(solver: Solver, door: Door, attempt: AttemptLayout) -> SandboxJob:
    command = solver.agent.command(solver.task, solver.seed)
    workspace = Mount(attempt.workspace, WORKSPACE, writable=True)
    home = Mount(attempt.home, HOME, writable=True)
    return SandboxJob(
        argv=(*door.argv, *command.argv),
        workdir=WORKSPACE,
        limits=solver.task.limits,
        mounts=(workspace, home, *door.mounts, *command.mounts),
        environment={**command.environment, **door.environment},
        watched=(attempt.workspace, attempt.home),
        gpus=solver.task.budget.gpus,
    )


class Queries:
    """Answers the agent's requests for a score: a checkpoint is treated like a final model."""

    def __init__(self, solver: Solver, attempt: AttemptLayout, deadline: float) -> None:
        self._solver, self._attempt, self._numbers = solver, attempt, count(1)
        self.deadline = deadline  # monotonic seconds; an evaluation does not outlive the agent's budget
        self.asked = 0

    def answer(self, path: str) -> EvaluationAnswer:
        """The score of the checkpoint at a path relative to the workspace, or why there is none."""
        self.asked += 1
        folder = self._attempt.query(next(self._numbers))
        template = self._solver.evaluator.chat_template
        model = folder / "model"
        admitted = admit_from(self._attempt.workspace, path, self._solver.base, model, template)
        if admitted.status != "admitted":
            return EvaluationAnswer(None, None, None, admitted.reason)
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            return EvaluationAnswer(None, None, None, "the budget is spent")
        evaluator = replace(self._solver.evaluator, timeout_s=min(self._solver.evaluator.timeout_s, left_s))
        outcome = evaluator.evaluate(model, self._solver.task.rules.query_split, folder).outcome
        shutil.rmtree(model)  # its digest is on the ledger; a checkpoint per query would fill the disk
        if isinstance(outcome, Failure):
            return EvaluationAnswer(None, None, None, outcome.reason)
        return EvaluationAnswer(outcome.mean, outcome.stderr, outcome.n, digest=admitted.digest)
