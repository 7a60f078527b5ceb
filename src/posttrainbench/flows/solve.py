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

from posttrainbench.auditing.passages import Index
from posttrainbench.budget import Spend
from posttrainbench.flows.admit import admit_from
from posttrainbench.flows.deadline import Clock, Deadline
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.monitor import Monitor
from posttrainbench.flows.screen import Screen
from posttrainbench.flows.spent import CLOCK
from posttrainbench.flows.turns import SOON_S, How, fingerprint, next_turn, reprompt
from posttrainbench.layout import FINAL_MODEL, AttemptLayout
from posttrainbench.ledger import Scalar
from posttrainbench.protocols import (
    HOME,
    WORKSPACE,
    Agent,
    AgentCommand,
    Continues,
    Door,
    EvaluationAnswer,
    Gateway,
    GatewayJob,
    Mount,
    RunningGateway,
    Sandbox,
    SandboxEnd,
    SandboxJob,
    SandboxProcess,
    TellsFailure,
    Trouble,
)
from posttrainbench.record import Failure, Solved, SolveEnd, Turn
from posttrainbench.stores.transcripts import TranscriptWriter
from posttrainbench.task import Task

GRACE_S = 3.0  # between TERM and the kill
LOOK_S = 1.0  # between two looks at a working agent
CLOCK_S = 60.0  # between two entries that say how long it has worked
SAID_BYTES = 64 * 1024  # of an agent's last words, where it may tell why it failed
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
    overlap_index: Callable[[], Index] | None = None  # what the agent may have its files checked against


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
            watched.log_request,
            attempt.calls,
            spent,
            solver.plant,
            attempt.downloads,
            Screen(attempt, solver.overlap_index).check if solver.overlap_index else None,
        )
        with closing(solver.gateway.open(job)) as gateway:
            door = gateway.door  # it may take a while to stand
            deadline.begin()
            solver.fill_workspace(attempt.workspace, deadline.unix_s())
            work = Work(solver, attempt, gateway, door, watched, queries, transcript.write, monitor)
            work.through()
            wall_s = deadline.elapsed_s()
        watched.check()
        model_calls = gateway.spend()  # when no more can come
    last = work.turns[-1]
    return Solved(
        last.end,
        last.exit_code,
        wall_s,
        queries.asked,
        transcript.total_bytes,
        transcript.dropped_bytes,
        isolation,
        work.peak_memory_bytes,
        work.left_processes,
        model_calls,
        reason=last.reason,
        earlier_wall_s=spent.wall_s or 0.0,
        load=monitor.summary(),
        turns=tuple(work.turns),
    )


class Work:
    """An agent's turns, from its start until it does not go on: each in a sandbox, one gateway for all."""

    def __init__(
        self,
        solver: Solver,
        attempt: AttemptLayout,
        gateway: RunningGateway,
        door: Door,
        watched: Watched,
        queries: Queries,
        on_output: Callable[[bytes], None],
        monitor: Monitor,
    ) -> None:
        self._solver, self._attempt, self._gateway, self._door = solver, attempt, gateway, door
        self._watched, self._queries, self._on_output, self._monitor = watched, queries, on_output, monitor
        self._earlier_homes: list[Path] = []
        self._said = b""  # the end of what the agent printed in this turn
        self.turns: list[Turn] = []
        self.peak_memory_bytes: int | None = None
        self.left_processes: int | None = None

    def through(self) -> None:
        """Every turn, in order."""
        deadline, agent = self._watched.deadline, self._solver.agent
        if deadline.left_s() <= 0:
            why = "earlier attempts took all of its time"
            self.turns.append(Turn("start", 0.0, 0.0, SolveEnd.DEADLINE, None, why))
            self.left_processes = 0
            return
        how: How | None = "start"
        while how is not None:
            self._turn(how)
            rules, left_s = self._solver.task.rules, deadline.left_s()
            how = next_turn(rules, self.turns, left_s, isinstance(agent, Continues))
        self._keep_earlier_homes()

    def _turn(self, how: How) -> None:
        begun_s, before = self._watched.deadline.elapsed_s(), self._progress()
        number = len(self.turns) + 1
        command = self._command(how)
        self._watched.log("turn", {"number": number, "event": "start", "how": how, "left_s": self._left_s()})
        end, why_ended, reason = self._sandboxed(command)
        self.peak_memory_bytes = max(
            filter(None, (self.peak_memory_bytes, end.peak_memory_bytes)), default=None
        )
        self.left_processes = end.left_processes
        wall_s = self._watched.deadline.elapsed_s() - begun_s
        idle = wall_s <= SOON_S and self._progress() == before
        self.turns.append(Turn(how, begun_s, wall_s, why_ended, end.exit_code, reason, idle))
        facts = {"end": why_ended, "exit_code": end.exit_code, "wall_s": round(wall_s, 3), "idle": idle}
        self._watched.log("turn", {"number": number, "event": "end", **facts, "reason": reason})

    def _left_s(self) -> float:
        return round(self._watched.deadline.left_s(), 3)

    def _progress(self) -> tuple[int, object]:
        """What no idle turn changes."""
        return self._queries.asked, fingerprint(self._attempt.final_model)

    def _command(self, how: How) -> AgentCommand:
        solver = self._solver
        if how == "resume" and isinstance(solver.agent, Continues):
            told = reprompt(self._watched.deadline.left_s(), FINAL_MODEL)
            return solver.agent.resume(solver.task, solver.seed, told)
        if how == "fresh_start":
            self._put_home_away()
        return solver.agent.command(solver.task, solver.seed)

    def _put_home_away(self) -> None:
        """A new session finds no trace of the old one in its home; the workspace stays."""
        earlier = self._attempt.root / f"home-{len(self._earlier_homes) + 1}"
        self._attempt.home.rename(earlier)
        self._earlier_homes.append(earlier)
        self._attempt.home.mkdir()

    def _keep_earlier_homes(self) -> None:
        """Into the last one, where seal and audits look, once no agent can."""
        self._attempt.home.chmod(0o700)
        for home in self._earlier_homes:
            home.rename(Path(tempfile.mkdtemp(prefix="earlier-", dir=self._attempt.home)) / "home")

    def _sandboxed(self, command: AgentCommand) -> tuple[SandboxEnd, SolveEnd, str]:
        """The command from start to end, why it ended, and that in words where there is more to say."""
        solver, watched = self._solver, self._watched
        self._said, earlier = b"", self._gateway.trouble()
        job = sandbox_job(solver.task, self._door, self._attempt, command)
        process = self._monitor.show(solver.sandbox.start(job, self._hear))
        end = _wait(process, watched, lambda at_s: solver.fill_workspace(self._attempt.workspace, at_s))
        trouble = self._gateway.trouble()
        trouble = None if trouble is earlier else trouble  # that was the last turn's
        if end is None:
            what = "TERM, then KILL for every process"
            watched.log("signal", {"what": what, "why": "deadline", "grace_s": GRACE_S})
            return process.stop(GRACE_S), SolveEnd.DEADLINE, _last_seen(watched, trouble)
        if end.limit is not None:
            watched.log("limit", {"what": end.limit, "peak_memory_bytes": end.peak_memory_bytes})
            return end, _ENDED_BY[end.limit], ""
        if trouble is not None:
            watched.log("model_trouble", {"end": trouble.end, "why": trouble.why})
            return end, trouble.end, trouble.why
        told = self._told_failure(end.exit_code)
        if end.exit_code == 0 and told is None:
            return end, SolveEnd.FINISHED, ""
        return end, SolveEnd.CRASHED, told or _how_it_crashed(end.exit_code)

    def _hear(self, output: bytes) -> None:
        self._watched.heard()
        self._said = (self._said + output)[-SAID_BYTES:]
        self._watched.keep(lambda: self._on_output(output))

    def _told_failure(self, exit_code: int | None) -> str | None:
        agent = self._solver.agent
        if not isinstance(agent, TellsFailure):
            return None
        return agent.failure(exit_code, self._said.decode(errors="replace"))


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
        """Append to the ledger."""
        self.keep(lambda: self._log(kind, data))

    def log_request(self, kind: str, data: Mapping[str, Scalar]) -> None:
        """Append what the gateway has to say: the agent has asked it for something."""
        self.heard()
        self.log(kind, data)

    def keep(self, write: Callable[[], object]) -> None:
        """Write something down; where that fails the agent is stopped, whichever thread found out."""
        try:
            write()
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
