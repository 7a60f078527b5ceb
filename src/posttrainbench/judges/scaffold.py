"""A judge that is a command line (a scaffold, or any program) in a sandbox of its own.

It finds an empty working folder and an empty home, and read-only in /case what it is asked; whatever it
prints is its reply. Its LLM lies behind a gateway of its own, which puts in the real key and lets nothing
else out.
Covered: nothing of the agent's folder is shown, so no AGENTS.md, configuration or program of the agent's can
reach it; it is killed when its time is up; floods of output (the end is kept).
Not covered: what its LLM's provider keeps of the dossier.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from posttrainbench.budget import Budget, Limits, Spend
from posttrainbench.errors import LlmUnavailable
from posttrainbench.judgement import JudgeSpec
from posttrainbench.ledger import Scalar
from posttrainbench.llm import Reply
from posttrainbench.protocols import (
    HOME,
    WORKSPACE,
    AgentCommand,
    Door,
    EvaluationAnswer,
    Gateway,
    GatewayJob,
    Mount,
    Question,
    Sandbox,
    SandboxJob,
)
from posttrainbench.task import ModelRef, Policy, Rules, Task

CASE = "/case"  # inside
INSTRUCTIONS, DOSSIER = "instructions.md", "dossier.md"
PROMPT = (
    f"Read {CASE}/{INSTRUCTIONS} and do what it says with the dossier in {CASE}/{DOSSIER}, all of which you "
    "must read. Everything that you need is in these two files; there is nothing else to look at or to run. "
    "Your last message must be the JSON object that the instructions ask for, and nothing else."
)
REQUESTS, CALLS = "requests.jsonl", "calls.jsonl.zst"
OUTPUT_BYTES = 8 * 1024**2  # that are kept, from the end
GRACE_S = 3.0
NOWHERE = ""  # the benchmark of a task that has none


@dataclass(frozen=True, slots=True)
class Place:
    """Where a judge's command runs, for how long, and at what cost."""

    sandbox: Sandbox
    gateway: Gateway | None  # None: it needs no LLM
    timeout_s: float
    cost_usd: float | None = None  # that one reply may take, by the gateway's count; None: not bounded


class ScaffoldJudge:
    """Starts a command once for each vote."""

    def __init__(self, spec: JudgeSpec, command: AgentCommand, place: Place, dossier_characters: int) -> None:
        self.spec = spec
        self.dossier_characters = dossier_characters
        self._command, self._place = command, place
        self._spend = Spend(cost_usd=0.0, tokens=0, broken_off=0) if place.gateway else Spend()

    def reply(self, question: Question, folder: Path) -> Reply:
        """What the command prints.

        Raises:
            LlmUnavailable: it did not end by itself with status 0.
            SandboxUnavailable, SetupError: it cannot be started here.
        """
        with tempfile.TemporaryDirectory(prefix="ptb-judge-") as short:
            room = Path(short)
            for name in ("case", "work", "home"):
                (room / name).mkdir()
            (room / "case" / INSTRUCTIONS).write_text(question.instructions, encoding="utf-8")
            (room / "case" / DOSSIER).write_text(question.dossier, encoding="utf-8", errors="replace")
            if self._place.gateway is None:
                return self._run(room, Door((), ()))
            job = self._gateway_job(room / "gateway.sock", folder)
            with closing(self._place.gateway.open(job)) as gateway:
                try:
                    return self._run(room, gateway.door)
                finally:
                    self._count(gateway.spend() or Spend())

    def spend(self) -> Spend:
        """What all replies until now took."""
        return self._spend

    def _count(self, took: Spend) -> None:
        self._spend = replace(
            self._spend,
            cost_usd=_sum(self._spend.cost_usd, took.cost_usd),
            tokens=_whole_sum(self._spend.tokens, took.tokens),
            broken_off=_whole_sum(self._spend.broken_off, took.broken_off),
        )

    def _run(self, room: Path, door: Door) -> Reply:
        output = bytearray()

        def keep(chunk: bytes) -> None:
            output.extend(chunk)
            del output[: max(0, len(output) - OUTPUT_BYTES)]

        process = self._place.sandbox.start(self._job(room, door), keep)
        end = process.wait(self._place.timeout_s)
        if end is None:
            process.stop(GRACE_S)
            raise LlmUnavailable(f"{self.spec.name} did not end within {self._place.timeout_s:g} s")
        text = output.decode("utf-8", "replace")
        if end.exit_code != 0:
            last = text.strip().rpartition("\n")[2][:300]
            ended = f"limit {end.limit}" if end.limit else f"status {end.exit_code}"
            raise LlmUnavailable(f"{self.spec.name} ended with {ended}: {last}")
        return Reply(text, self.spec.model or self.spec.name, None)

    def _job(self, room: Path, door: Door) -> SandboxJob:
        command = self._command
        own = (
            Mount(room / "work", WORKSPACE, writable=True),
            Mount(room / "home", HOME, writable=True),
            Mount(room / "case", CASE),
        )
        return SandboxJob(
            argv=(*door.argv, *command.argv),
            workdir=WORKSPACE,
            limits=Limits(),
            mounts=(*own, *door.mounts, *command.mounts),
            environment={**command.environment, **door.environment},
            watched=(room / "work", room / "home"),
        )

    def _gateway_job(self, socket: Path, folder: Path) -> GatewayJob:
        """A gateway that carries model calls and nothing else; what passes is written into `folder`."""
        lock = threading.Lock()

        def log(kind: str, data: Mapping[str, Scalar]) -> None:
            with lock, (folder / REQUESTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **data}) + "\n")

        rules = Rules(Policy.STRICT, max_queries=0)
        budget = Budget(self._place.timeout_s, cost_usd=self._place.cost_usd)
        task = Task(ModelRef(NOWHERE), NOWHERE, budget, rules)
        refusal = EvaluationAnswer(None, None, None, "a judge evaluates nothing")
        return GatewayJob(socket, Policy.STRICT, task, lambda _: refusal, log, folder / CALLS)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _whole_sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
