"""The one schema on disk: what a run is asked to be, what each stage leaves, what came out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from posttrainbench.budget import Spend
from posttrainbench.errors import FailureKind
from posttrainbench.finding import Verdict
from posttrainbench.grade import GradingSpend
from posttrainbench.judgement import Judged
from posttrainbench.load import LoadSummary
from posttrainbench.signature import Signature
from posttrainbench.task import Task

SCHEMA = 1
BASELINE = "baseline"  # the scaffold of runs that measure a reference score; `kind` among its settings


class Stage(StrEnum):
    """A run's stages, in order."""

    PREPARE = "prepare"
    SOLVE = "solve"
    SEAL = "seal"
    ADMIT = "admit"
    EVALUATE = "evaluate"
    AUDIT = "audit"
    RECORD = "record"


class SolveEnd(StrEnum):
    """How the agent's time in the sandbox ended."""

    FINISHED = "finished"  # exited by itself with status 0
    CRASHED = "crashed"  # exited by itself with another status
    DEADLINE = "deadline"  # cut off when the budget was spent
    MEMORY_LIMIT = "memory_limit"
    DISK_LIMIT = "disk_limit"
    PIDS_LIMIT = "pids_limit"
    BUDGET_SPENT = "budget_spent"  # exited by itself once its budget in USD or tokens was spent
    LLM_FAILED = "llm_failed"  # exited by itself once its LLM gave no answer any more


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Scaffold + agent model + settings. `name` is what a leaderboard prints."""

    name: str
    scaffold: str
    agent_model: str | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One agent on one task with one seed; written once, before anything else."""

    run_id: str
    suite: str
    suite_digest: str
    task: Task
    data_digest: str  # of the benchmark's items
    agent: AgentSpec
    seed: int
    sandbox: str
    engine: str
    versions: tuple[tuple[str, str], ...]
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Part:
    """The score over a named part of the samples (say, the novel ones)."""

    name: str
    mean: float
    stderr: float | None  # None when n < 2
    n: int


@dataclass(frozen=True, slots=True)
class Score:
    """A mean in [0, 1] over n samples, with its standard error (None when n < 2)."""

    mean: float
    stderr: float | None
    n: int
    parts: tuple[Part, ...] = ()
    kind: Literal["score"] = "score"


@dataclass(frozen=True, slots=True)
class Failure:
    """A named reason why there is no score; it is never a number."""

    reason_kind: FailureKind
    stage: Stage
    reason: str
    kind: Literal["failure"] = "failure"


Outcome = Score | Failure


@dataclass(frozen=True, slots=True)
class FileFact:
    """One entry of a folder as it lay: regular files have a digest, or a note that says why not."""

    path: str  # relative, with forward slashes
    kind: Literal["file", "link", "other"]
    size_bytes: int
    sha256: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One thing that a sandbox promises, and whether it holds on this machine."""

    name: str
    holds: bool
    how: str


@dataclass(frozen=True, slots=True)
class Isolation:
    """What kept the agent in: the sandbox's name and its guarantees."""

    sandbox: str
    isolated: bool
    guarantees: tuple[Guarantee, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the agent will find in its workspace, by content."""

    files: tuple[FileFact, ...]
    canary_secret: str = ""  # decides the run's canaries; on the host only. Empty: none were planted


@dataclass(frozen=True, slots=True)
class Turn:
    """One time from the start of the agent's command to its end."""

    how: Literal["start", "resume", "fresh_start"]
    at_s: float  # since the first turn began
    wall_s: float
    end: SolveEnd
    exit_code: int | None
    reason: str = ""  # the end in words, the agent's own among them
    idle: bool = False  # stopped soon, with final_model as it was and no evaluation asked for


@dataclass(frozen=True, slots=True)
class Solved:
    """How the agent's time went."""

    end: SolveEnd
    exit_code: int | None
    wall_s: float
    evaluations: int
    transcript_bytes: int
    transcript_dropped_bytes: int
    isolation: Isolation
    peak_memory_bytes: int | None = None
    left_processes: int | None = None  # processes found alive after the kill; None: could not be counted
    model_calls: Spend | None = None  # what the agent's own LLM took in all attempts; None: it had none
    reason: str = ""  # the end in words, where there is more to say than its name
    earlier_wall_s: float = 0.0  # what attempts took of the budget that did not come to their end
    load: LoadSummary | None = None  # what its sandbox took of the machine; None: nobody looked
    turns: tuple[Turn, ...] = ()  # more than one: it was told to go on, or started afresh after an outage


@dataclass(frozen=True, slots=True)
class Sealed:
    """The workspace after the last process died. The manifest lists every entry, one FileFact a line."""

    file_count: int
    total_bytes: int
    manifest_sha256: str
    left_out: int  # weights hashed, then removed from the snapshot


@dataclass(frozen=True, slots=True)
class Admitted:
    """What may be loaded, or why nothing may."""

    status: Literal["admitted", "refused", "absent"]
    reason: str  # empty when admitted
    digest: str | None  # over names, shapes, dtypes and bytes of the admitted tensors
    notes: tuple[str, ...] = ()  # what was dropped, re-emitted or changed on the way


@dataclass(frozen=True, slots=True)
class Audited:
    """What the checks came to."""

    verdict: Verdict
    judged: Judged | None = None  # None: no judge took part


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The final score, or why there is none."""

    outcome: Outcome
    split: str
    wall_s: float
    versions: tuple[tuple[str, str], ...] = ()
    grading: GradingSpend | None = None  # None: no grader took part


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One finished stage: which attempt did it, when, how long, and the digest of what it left."""

    stage: Stage
    attempt: int
    finished_utc: str
    wall_s: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file or a folder that stages left, by content; `sha256` is over one FileFact a line."""

    path: str  # from the run directory
    file_count: int
    total_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a score and a verdict were made with, beyond what the spec asks for."""

    split: str  # of the benchmark, that was scored
    base_sha256: str  # of the base model's weights, as Admitted.digest
    chat_template_sha256: str
    evaluated_with: tuple[tuple[str, str], ...]  # packages where answers were generated
    published_with: tuple[tuple[str, str], ...]  # packages where they were audited and scored
    code_sha256: str  # over our own package's modules as they ran
    grading: GradingSpend | None = None  # names the grader; None: no grader took part


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The published outcome of a run."""

    spec: RunSpec
    spec_sha256: str
    solved: Solved
    sealed: Sealed
    admitted: Admitted
    outcome: Outcome
    verdict: Verdict
    spend: Spend
    stages: tuple[StageRecord, ...]
    attempts: int
    ledger_entries: int
    ledger_head: str
    published_utc: str
    schema: int = SCHEMA
    kept: tuple[Kept, ...] = ()  # what stages left beside their outputs and the sealed workspace
    provenance: Provenance | None = None  # None in records of versions that did not write it
    signature: Signature | None = None  # over all other fields; None: not signed
    judged: Judged | None = None  # None: no judge took part
