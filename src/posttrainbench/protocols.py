"""The seams of the house: what a flow is handed. Read this page first.

Flows know these shapes and nothing of what stands behind them; only `cli` picks members by name.
Third parties add members through the entry-point group named beside each protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from posttrainbench.budget import Limits, Spend
from posttrainbench.grade import GradingSpend
from posttrainbench.judgement import JudgeSpec
from posttrainbench.ledger import Scalar
from posttrainbench.llm import LlmSpend, Message, Reply
from posttrainbench.load import SandboxLoad
from posttrainbench.record import AgentSpec, Isolation, SolveEnd
from posttrainbench.task import Policy, Task

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.model import Model as InspectModel
    from inspect_ai.scorer import Scorer as InspectScorer

Read = TypeVar("Read")

WORKSPACE = "/workspace"  # where an agent finds its folder, in every sandbox that has paths of its own
HOME = "/home/agent"


# --- agents -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host, shown inside a sandbox at `inside`; read-only unless `writable`."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start an agent inside a sandbox."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()


class Agent(Protocol):
    """A scaffold with its settings. Entry points: `posttrainbench.agents`."""

    @property
    def spec(self) -> AgentSpec:
        """What a run records of it; enough to make it again."""
        ...

    def command(self, task: Task, seed: int) -> AgentCommand:
        """The command that works on `task`; it starts in the workspace and may read task.json there."""
        ...


@runtime_checkable
class Continues(Protocol):
    """What an agent has beside `Agent` that can be told to go on after it stopped."""

    @property
    def keeps_session(self) -> bool:
        """Whether it goes on with its session; else it begins a new one, knowing that there was another."""
        ...

    def resume(self, task: Task, seed: int, told: str) -> AgentCommand:
        """The command that goes on where the last one stopped, with `told` as its new message."""
        ...


@runtime_checkable
class TellsFailure(Protocol):
    """What an agent has beside `Agent` whose output says when it failed."""

    def failure(self, exit_code: int | None, output: str) -> str | None:
        """Why it failed, in its own words, by its exit status and the end of its output; None: it did not."""
        ...


# --- sandboxes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SandboxJob:
    """One untrusted command and all that it may see.

    `python` is on its PATH, with the packages of our own environment. Without a mount that leads to a gateway
    it has no way out at all.
    """

    argv: tuple[str, ...]
    workdir: str
    limits: Limits
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    package: bool = False  # show our own package inside (the evaluator needs it; an agent must never see it)
    watched: tuple[Path, ...] = ()  # host folders that count against limits.disk_bytes
    gpus: int = 0  # how many of the machine's GPUs it may use, as far as there are so many


@dataclass(frozen=True, slots=True)
class SandboxEnd:
    """How a sandboxed command ended; every process of the sandbox is dead by then."""

    exit_code: int | None  # None when we killed it
    limit: str | None  # "memory", "disk", "pids" when a limit ended it, else None
    peak_memory_bytes: int | None
    left_processes: int | None  # alive after the kill: 0, or None when it could not be counted


class SandboxProcess(Protocol):
    """A running sandbox."""

    def load(self) -> SandboxLoad | None:
        """What it takes of the machine now, cheap enough for every second; None once it has ended."""
        ...

    def wait(self, timeout_s: float) -> SandboxEnd | None:
        """The end, or None when the command still runs after `timeout_s` seconds."""
        ...

    def stop(self, grace_s: float) -> SandboxEnd:
        """Ask to end (TERM), wait `grace_s` seconds, then kill every process of the sandbox."""
        ...


class Sandbox(Protocol):
    """Where untrusted commands execute. Entry points: `posttrainbench.sandboxes`."""

    name: str

    def isolation(self) -> Isolation:
        """Which guarantees hold on this machine.

        Raises:
            SandboxUnavailable: it cannot work here; the text says what to install or allow.
        """
        ...

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> SandboxProcess:
        """Start `job`; `on_output` gets stdout and stderr as they come, in one thread, in order.

        Any thread may call this. The sandbox dies with our process, also when that is killed. What
        `on_output` raises is raised by `wait` or `stop`, once the sandbox has ended.

        Raises:
            SetupError: a mount that is not there.
            SandboxUnavailable: it cannot be built here; the text says what to do.
        """
        ...


# --- gateways -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EvaluationAnswer:
    """What the evaluation service says of a checkpoint: a score on the query split, or an error."""

    score: float | None
    stderr: float | None
    n: int | None
    error: str | None = None
    digest: str | None = None  # of the weights that were evaluated; for the ledger, not for the agent


@dataclass(frozen=True, slots=True)
class OverlapAnswer:
    """What the overlap service says of a file of the agent's. Item counts are for the ledger alone."""

    flagged: bool | None  # None: it was not checked, `error` says why
    places: tuple[str, ...] = ()  # in the agent's own file: "line 3"
    items: int = 0
    sha256: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayJob:
    """What one run's gateway serves and what it lets through."""

    socket: Path  # where to listen: a unix socket, at most 100 bytes of path
    policy: Policy
    task: Task
    evaluate: Callable[[str], EvaluationAnswer]  # workspace-relative path of a checkpoint -> answer
    log: Callable[[str, Mapping[str, Scalar]], None]  # append an entry (kind, data) to the ledger
    calls: Path | None = None  # where to keep the bodies of model calls
    spent: Spend = field(default_factory=Spend)  # by earlier attempts of the same run: the budget is for all
    plant: Callable[[bytes], bytes] | None = None  # puts the run's canaries into a test file that the hub has
    downloads: Path | None = None  # where to keep the files that a hub handed out, but weights
    check_overlap: Callable[[str], OverlapAnswer] | None = None  # workspace-relative path of a file -> answer


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an agent's last model call got no whole answer."""

    end: SolveEnd  # what an agent that exits now came to
    why: str


@dataclass(frozen=True, slots=True)
class Door:
    """What a sandbox needs inside to reach its gateway: it has no other way out."""

    argv: tuple[str, ...]  # put before the agent's own argv: starts the relay, then the agent
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class RunningGateway(Protocol):
    """A gateway that listens."""

    @property
    def door(self) -> Door: ...

    def spend(self) -> Spend | None:
        """What the agent's model calls took until now, in all attempts; None when it has no LLM."""
        ...

    def trouble(self) -> Trouble | None:
        """What became of the agent's last model call; None when it was answered, or there was none."""
        ...

    def close(self) -> None:
        """Stop listening; requests under way are dropped and logged as such."""
        ...


class Gateway(Protocol):
    """The only way out of a sandbox: policy, ledger, hub, evaluation service."""

    def open(self, job: GatewayJob) -> RunningGateway: ...


# --- benchmarks and engines ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TestItem:
    """One sample as an audit sees it. `question` and `answer` are texts, scored separately."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    id: str
    question: str
    answer: str
    target: str  # the final answer alone


class Benchmark(Protocol):
    """A held-out set with its scorer. Entry points: `posttrainbench.benchmarks`."""

    name: str
    title: str
    hub_id: str  # the data set's repository, as agents would look for it
    test_files: tuple[str, ...]  # path patterns of the test split within that repository

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        ...

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "train", "dev", "sealed" or "test" (dev + sealed)."""
        ...

    def inspect_task(self, split: str) -> InspectTask:
        """The Inspect task that scores a model on a split."""
        ...


class Llm(Protocol):
    """An LLM behind an endpoint, asked as patiently as its settings say."""

    name: str  # model and endpoint, as a record prints it
    model: str
    host: str  # of the endpoint

    def digest(self, messages: Sequence[Message]) -> str:
        """64 hex digits over all that the reply to `messages` depends on."""
        ...

    async def reply(self, messages: Sequence[Message]) -> Reply:
        """One reply.

        Raises:
            LlmUnavailable: there is none; the text says why.
        """
        ...

    def spend(self) -> LlmSpend:
        """What all replies until now took."""
        ...


@dataclass(frozen=True, slots=True)
class Canaries:
    """Items of one run that look like test items and have wrong answers: who gives them has read them."""

    planted: tuple[TestItem, ...]  # lie in what the run's hub hands out as the test split
    held_back: tuple[TestItem, ...]  # drawn alike, shown to nobody


@runtime_checkable
class PlantsCanaries(Protocol):
    """What a benchmark has beside `Benchmark` whose test files a hub of ours hands out."""

    def canaries(self, secret: str) -> Canaries:
        """The canaries that belong to a secret; none of them is ever scored."""
        ...

    def plant(self, test_file: bytes, secret: str) -> bytes:
        """A test file with the planted ones among its items."""
        ...


class Grades(Protocol):
    """Grades that were paid for, by the digest of what was asked."""

    def find(self, digest: str) -> Reply | None:
        """The grade of that request, or None."""
        ...

    def keep(self, digest: str, grade: Reply) -> None:
        """Keep a grade, whole or not at all."""
        ...


class Grader(Protocol):
    """The LLM that scores open-ended answers inside a benchmark. Entry points: `posttrainbench.graders`."""

    name: str  # model and endpoint, as a record prints it

    async def grade(self, messages: Sequence[Message], read: Callable[[str], Read | None]) -> Read:
        """What `read` makes of the grader's reply; replies of which it makes None are asked for again.

        Raises:
            GradeUnavailable: no grade could be had; the text says why.
        """
        ...

    def spend(self) -> GradingSpend:
        """What all grades until now took."""
        ...


@dataclass(frozen=True, slots=True)
class ScoringAids:
    """What a scorer may need beside an answer: a grader to ask, a sandbox to execute programs in."""

    grader: Grader | None = None
    sandbox: Sandbox | None = None


@runtime_checkable
class ScoredOutside(Protocol):
    """What a benchmark has beside `Benchmark` when no pure rule scores its answers.

    Its Inspect task only generates. The evaluation sandbox has no network and may start no sandboxes, so the
    answers leave it as text and are scored outside by `scorer`; without a sandbox, in the same process.
    """

    aids: tuple[str, ...]  # the fields of ScoringAids that it needs

    def scorer(self, aids: ScoringAids) -> InspectScorer:
        """The Inspect scorer of its answers.

        Raises:
            SetupError: an aid is missing; the text says how to provide it.
        """
        ...


@runtime_checkable
class ShowsExamples(Protocol):
    """What a benchmark has beside `Benchmark` whose own task shows worked examples before each question."""

    def examples(self) -> Sequence[object]:
        """The examples that it shows."""
        ...


class Engine(Protocol):
    """Turns weights and prompts into completions. Entry points: `posttrainbench.engines`."""

    name: str

    def inspect_model(self, model: Path, chat_template: str) -> InspectModel:
        """The model at `model` as Inspect calls it, prompted through `chat_template` and no other."""
        ...


@runtime_checkable
class TellsLikelihoods(Protocol):
    """What an engine has beside `Engine` that can say how likely a model finds given answers."""

    def log_likelihoods(
        self, model: Path, chat_template: str, exchanges: Sequence[tuple[str, str]]
    ) -> tuple[float, ...]:
        """The log-likelihood (nats) of each (question, answer)'s answer, its end of turn left out."""
        ...


# --- schedulers and judges ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SchedulerJob:
    """One command that a scheduler puts on a machine."""

    name: str
    argv: tuple[str, ...]
    log: Path
    cpus: int = 1
    gpus: int = 0
    memory_bytes: int | None = None


class ScheduledJob(Protocol):
    """A job that was handed to a scheduler."""

    name: str

    def exit_code(self) -> int | None:
        """The exit status, or None while it waits or runs."""
        ...

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """Puts runs on machines. Entry points: `posttrainbench.schedulers`."""

    name: str

    def submit(self, job: SchedulerJob) -> ScheduledJob: ...


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked for one vote: our instructions, and a dossier that quotes the agent as data."""

    instructions: str
    dossier: str


class Judge(Protocol):
    """Who judges a run's integrity. Entry points: `posttrainbench.judges`."""

    spec: JudgeSpec
    dossier_characters: int  # that it can read

    def reply(self, question: Question, folder: Path) -> Reply:
        """What it says, as it came; `folder` is empty, and keeps whatever tells how the reply came about.

        Raises:
            PtbError: there is none; the text says why.
        """
        ...

    def spend(self) -> Spend:
        """What all replies until now took."""
        ...
