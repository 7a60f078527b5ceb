"""Solve: give the agent its workspace, its budget, its one way out; cut it off when the budget is spent."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from posttrainbench.budget import Spend
from posttrainbench.flows.admit import admit_from
from posttrainbench.flows.deadline import Clock, Deadline
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.monitor import Monitor
from posttrainbench.flows.spent import CLOCK
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import Scalar
from posttrainbench.protocols import (
    HOME,
    WORKSPACE,
    Agent,
    AgentCommand,
    Door,
    EvaluationAnswer,
    Gateway,
    GatewayJob,
    Mount,
    Sandbox,
    SandboxEnd,
    SandboxJob,
    SandboxProcess,
    Trouble,
)
from posttrainbench.record import Failure, Solved, SolveEnd
from posttrainbench.stores.transcripts import TranscriptWriter
from posttrainbench.task import Task

GRACE_S = 3.0  # between TERM and the kill
LOOK_S = 1.0  # between two looks at a working agent
CLOCK_S = 60.0  # between two entries that say how long it has worked
QUIET_S = 600.0  # of silence that is told of an agent that was cut off
KILLED_BY = 128  # what shells add to the number of the signal that ended a command
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
    clock: Clock = field(default_factory=Clock)
    plant: Callable[[bytes], bytes] | None = None  # puts the run's canaries into a test file


def solve(
    solver: Solver, prepared: Path, attempt: AttemptLayout, log: Log, spent: Spend | None = None
) -> Solved:
    """Run the agent for at most what earlier attempts left of its budget (`spent`).

    When this returns, no process of the sandbox is left.

    Raises:
        OSError: what happens could not be written down (a full disk): the agent was stopped.
    """
    spent = spent or Spend()
    shutil.copytree(prepared, attempt.workspace)
    attempt.home.mkdir()
    isolation = solver.sandbox.isolation()
    deadline = Deadline(solver.task.budget, spent.wall_s or 0.0, solver.clock)
    queries = Queries(solver, attempt, deadline)
    watched = Watched(log, deadline)
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
            watched.log,
            attempt.calls,
            spent,
            solver.plant,
            attempt.downloads,
        )
        with closing(solver.gateway.open(job)) as gateway:
            door = gateway.door  # it may take a while to stand
            deadline.begin()
            solver.fill_workspace(attempt.workspace, deadline.unix_s())
            end, how, why = _work(solver, door, attempt, transcript.write, watched, gateway.trouble, monitor)
            wall_s = deadline.elapsed_s()
        watched.check()
        model_calls = gateway.spend()  # when no more can come
    return Solved(
        how,
        end.exit_code,
        wall_s,
        queries.asked,
        transcript.total_bytes,
        transcript.dropped_bytes,
        isolation,
        end.peak_memory_bytes,
        end.left_processes,
        model_calls,
        reason=why,
        earlier_wall_s=spent.wall_s or 0.0,
        load=monitor.summary(),
    )


def _work(
    solver: Solver,
    door: Door,
    attempt: AttemptLayout,
    on_output: Callable[[bytes], None],
    watched: Watched,
    trouble: Callable[[], Trouble | None],
    monitor: Monitor,
) -> tuple[SandboxEnd, SolveEnd, str]:
    """The agent from start to end, why it ended, and that in words where there is more to say."""
    if watched.deadline.left_s() <= 0:
        return SandboxEnd(None, None, None, 0), SolveEnd.DEADLINE, "earlier attempts took all of its time"

    def heard(output: bytes) -> None:
        watched.heard()
        on_output(output)

    process = monitor.show(
        solver.sandbox.start(
            sandbox_job(solver.task, door, attempt, solver.agent.command(solver.task, solver.seed)), heard
        )
    )
    end = _wait(process, watched, lambda at_s: solver.fill_workspace(attempt.workspace, at_s))
    if end is None:
        watched.log(
            "signal", {"what": "TERM, then KILL for every process", "why": "deadline", "grace_s": GRACE_S}
        )
        return process.stop(GRACE_S), SolveEnd.DEADLINE, _last_seen(watched, trouble())
    if end.limit is not None:
        watched.log("limit", {"what": end.limit, "peak_memory_bytes": end.peak_memory_bytes})
        return end, _ENDED_BY[end.limit], ""
    if (why := trouble()) is not None:
        watched.log("model_trouble", {"end": why.end, "why": why.why})
        return end, why.end, why.why
    if end.exit_code == 0:
        return end, SolveEnd.FINISHED, ""
    return end, SolveEnd.CRASHED, _how_it_crashed(end.exit_code)


def _wait(process: SandboxProcess, watched: Watched, tell: Callable[[float], None]) -> SandboxEnd | None:
    """The end of `process`, None when its time is up first.

    Raises:
        OSError: something could not be written down; the process was stopped.
    """
    try:
        while (left_s := watched.deadline.left_s()) > 0:
            end = process.wait(min(left_s, LOOK_S))
            if end is not None:
                return end
            watched.look(tell)
    except BaseException:
        process.stop(0.0)
        raise
    return None


def _last_seen(watched: Watched, trouble: Trouble | None) -> str:
    """What the record says of an agent that was cut off. Silence is no proof: training is silent too."""
    said = [f"silent for its last {watched.quiet_s():.0f} s"] if watched.quiet_s() >= QUIET_S else []
    said += [f"its last model call: {trouble.why}"] if trouble else []
    return "; ".join(said)


def _how_it_crashed(status: int | None) -> str:
    if status is None or status <= KILLED_BY:
        return ""
    try:
        name = signal.Signals(status - KILLED_BY).name
    except ValueError:
        return ""
    return f"something ended it with {name}; it was not the harness"


def sandbox_job(task: Task, door: Door, attempt: AttemptLayout, command: AgentCommand) -> SandboxJob:
    """An agent's command with all that its sandbox is shown."""
    workspace = Mount(attempt.workspace, WORKSPACE, writable=True)
    home = Mount(attempt.home, HOME, writable=True)
    return SandboxJob(
        argv=(*door.argv, *command.argv),
        workdir=WORKSPACE,
        limits=task.limits,
        mounts=(workspace, home, *door.mounts, *command.mounts),
        environment={**command.environment, **door.environment},
        watched=(attempt.workspace, attempt.home),
        gpus=task.budget.gpus,
    )


class Watched:
    """An agent at work as the harness sees it: its time, its silence, and whether all can be written down."""

    def __init__(self, log: Log, deadline: Deadline) -> None:
        self.deadline = deadline
        self._log = log
        self._lock = threading.Lock()
        self._failed: OSError | None = None
        self._written_s = 0.0
        self._heard_s = 0.0

    def log(self, kind: str, data: Mapping[str, Scalar]) -> None:
        """Append to the ledger; where that fails the run must end, whichever thread found out."""
        if kind != CLOCK:
            self.heard()
        try:
            self._log(kind, data)
        except OSError as failed:
            with self._lock:
                self._failed = self._failed or failed

    def heard(self) -> None:
        """The agent gave a sign of life: output, or something that the gateway wrote down."""
        self._heard_s = self.deadline.elapsed_s()

    def quiet_s(self) -> float:
        """Seconds since the last sign of life."""
        return self.deadline.elapsed_s() - self._heard_s

    def look(self, tell: Callable[[float], None]) -> None:
        """Write down how long the agent has worked, now and then; tell it its deadline anew when that moved.

        Raises:
            OSError: what happens cannot be written down.
        """
        self.check()
        elapsed_s, moved_s = self.deadline.elapsed_s(), self.deadline.moved_s()
        if moved_s or elapsed_s - self._written_s >= CLOCK_S:
            self._written_s = elapsed_s
            self.log(CLOCK, {"elapsed_s": round(elapsed_s, 3), "deadline_moved_s": round(moved_s, 3)})
        if moved_s:
            with contextlib.suppress(OSError):  # the agent may have put something else in its place
                tell(self.deadline.unix_s())

    def check(self) -> None:
        """Raises OSError when something could not be written down."""
        if self._failed is not None:
            raise self._failed


class Queries:
    """Answers the agent's requests for a score: a checkpoint is treated like a final model."""

    def __init__(self, solver: Solver, attempt: AttemptLayout, deadline: Deadline) -> None:
        self._solver, self._attempt, self._numbers = solver, attempt, count(1)
        self._deadline = deadline  # an evaluation does not outlive the agent's budget
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
        left_s = self._deadline.left_s()
        if left_s <= 0:
            return EvaluationAnswer(None, None, None, "the budget is spent")
        evaluator = replace(self._solver.evaluator, timeout_s=min(self._solver.evaluator.timeout_s, left_s))
        outcome = evaluator.evaluate(model, self._solver.task.rules.query_split, folder).outcome
        shutil.rmtree(model)  # its digest is on the ledger; a checkpoint per query would fill the disk
        if isinstance(outcome, Failure):
            return EvaluationAnswer(None, None, None, outcome.reason)
        return EvaluationAnswer(outcome.mean, outcome.stderr, outcome.n, digest=admitted.digest)
