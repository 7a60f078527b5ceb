"""What a ranking comes to: the leaderboard, its entries, their cells, and what was counted in each.

Numbers are fractions. A missing number is None, with a reason beside it; nothing here is made up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from posttrainbench.finding import VerdictLabel
from posttrainbench.record import AgentSpec, Failure, Outcome


class Counted(StrEnum):
    """What a run stands for in the aggregate."""

    OWN = "own"  # the score of the model that the agent left
    BASE = "base"  # the base model's zero-shot score, by policy
    NOTHING = "nothing"  # it is left out, and the entry is incomplete


class Mark(StrEnum):
    """What a reader must know before believing a number; the order is that of weight."""

    DISQUALIFIED = "disqualified"
    FAILED = "failed"
    MISSING = "missing"
    SUSPICIOUS = "suspicious"
    UNKNOWN = "unknown"
    DISPUTED = "disputed"
    NOT_ISOLATED = "not_isolated"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a ranking reads of a finished run: of a record of ours, or of a table that somebody published."""

    run_id: str
    agent: AgentSpec
    base_model: str
    benchmark: str
    seed: int
    outcome: Outcome
    verdict: VerdictLabel
    isolated: bool | None = None  # None: nobody wrote it down
    disputed: bool = False  # somebody left a note against the verdict


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its uncertainties; each of them is None when nothing is known of it, never 0."""

    mean: float
    seeds: int
    sd_over_seeds: float | None  # sample standard deviation (n - 1); None for one seed
    sampling_stderr: float | None  # what the finite test sets leave open
    total_stderr: float | None  # both together; None for one seed


@dataclass(frozen=True, slots=True)
class PartEstimate:
    """An estimate over a named part of the samples (say, the novel ones)."""

    name: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class CellRun:
    """One seed's place in a cell: what came out, what was counted, and why."""

    seed: int
    run_id: str | None  # None: no such run was found
    outcome: Outcome | None  # None: there is no record (yet)
    verdict: VerdictLabel | None
    isolated: bool | None
    counted: Counted
    value: float | None  # what was counted, None for NOTHING
    stderr: float | None  # of an own score
    why: str
    disputed: bool = False

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What a reader must know of this run, weightiest first."""
        known = (
            (Mark.DISQUALIFIED, self.verdict is VerdictLabel.DISQUALIFIED),
            (Mark.FAILED, isinstance(self.outcome, Failure)),
            (Mark.MISSING, self.outcome is None),
            (Mark.SUSPICIOUS, self.verdict is VerdictLabel.SUSPICIOUS),
            (Mark.UNKNOWN, self.verdict is VerdictLabel.UNKNOWN),
            (Mark.DISPUTED, self.disputed),
            (Mark.NOT_ISOLATED, self.isolated is False),
        )
        return tuple(mark for mark, holds in known if holds)


@dataclass(frozen=True, slots=True)
class Cell:
    """One agent's runs on one base model and one benchmark."""

    base_model: str
    benchmark: str
    weight: float  # in the total; all cells of an entry sum to 1
    runs: tuple[CellRun, ...]  # one per seed of the entry, in order
    estimate: Estimate | None  # over the seeds, None when one of them counts as nothing
    parts: tuple[PartEstimate, ...]

    @property
    def name(self) -> str:
        """`tiny-qwen3-base/tiny_math`, as the task is called."""
        return f"{self.base_model.rsplit('/', 1)[-1]}/{self.benchmark}"

    @property
    def marks(self) -> tuple[Mark, ...]:
        return union_of_marks(run.marks for run in self.runs)


@dataclass(frozen=True, slots=True)
class BenchmarkColumn:
    """An entry's mean over base models on one benchmark; None when a cell counts as nothing."""

    benchmark: str
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class RankRange:
    """The ranks that hold 95 % of the draws of a bootstrap over runs and items."""

    best: int
    worst: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent's aggregate over a suite.

    Exactly one of `total` (every cell counts as something) and `partial` (over the cells that do) can be set;
    both are None when no cell counts. Only entries with a total are ranked.
    """

    label: str  # the agent's name, told apart from agents of the same name with other settings
    agent: AgentSpec
    rank: int | None  # equal totals share a rank
    total: Estimate | None
    partial: float | None
    submitted: float | None  # the mean of the models' own scores, whatever the verdicts say
    parts: tuple[PartEstimate, ...]
    columns: tuple[BenchmarkColumn, ...]
    cells: tuple[Cell, ...]
    missing: tuple[str, ...]  # why `total` is None, one reason per cell and seed
    ranks: RankRange | None = None  # None: not ranked, nothing to rank against, or not drawn

    @property
    def complete(self) -> bool:
        return self.total is not None

    @property
    def marks(self) -> tuple[Mark, ...]:
        return union_of_marks(cell.marks for cell in self.cells)

    def marks_on(self, benchmark: str) -> tuple[Mark, ...]:
        """The marks of the cells on one benchmark."""
        return union_of_marks(cell.marks for cell in self.cells if cell.benchmark == benchmark)

    def part(self, name: str) -> Estimate | None:
        """The estimate over the part called `name`, or None when a cell does not know it."""
        return next((part.estimate for part in self.parts if part.name == name), None)


@dataclass(frozen=True, slots=True)
class ReferenceTotal:
    """What the base models or their instruct siblings come to under the same weights."""

    kind: str  # "base", "few_shot", "instruct"
    total: float


@dataclass(frozen=True, slots=True)
class PublishedEntry:
    """An agent's overall score as somebody else published it; its runs are not here to be checked."""

    agent: str
    scaffold: str  # empty where it was not said
    mean: float
    runs: int
    sd: float | None = None  # sample standard deviation over the runs; None for one run

    @property
    def label(self) -> str:
        """`Claude Opus 4.6 (Claude Code)`."""
        return f"{self.agent} ({self.scaffold})" if self.scaffold else self.agent


@dataclass(frozen=True, slots=True)
class PublishedFigures:
    """Overall scores that were published of a suite, best first, and where."""

    suite: str
    source: str
    rounded_to: float  # how exact the figures are: 0.001 for percent with one decimal
    references: tuple[ReferenceTotal, ...]
    entries: tuple[PublishedEntry, ...]


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One cell of a published table; a cell without a score says why in `note`."""

    base_model: str  # its short name: the tables name no owner
    benchmark: str  # as our suites call it
    value: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A published table of cells: one run, or the mean or deviation of several."""

    name: str
    cells: tuple[PublishedCell, ...]

    def value(self, base_model: str, benchmark: str) -> float | None:
        """The score of one cell, or None where the table has none."""
        wanted = (base_model, benchmark)
        return next((cell.value for cell in self.cells if (cell.base_model, cell.benchmark) == wanted), None)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The ranked entries of one suite digest under one counting policy."""

    suite: str
    suite_version: str
    suite_title: str
    suite_digest: str
    policy: str
    policy_text: str
    base_models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    weights: tuple[float, ...]  # one per benchmark
    references: tuple[ReferenceTotal, ...]
    entries: tuple[Entry, ...]
    superseded: int  # older records of runs that have a newer one
    reference_sources: tuple[str, ...] = ()  # where reference scores that the suite does not hold come from
    published: PublishedFigures | None = None  # what others published of this suite, to be shown beside


def union_of_marks(groups: Iterable[tuple[Mark, ...]]) -> tuple[Mark, ...]:
    """Every mark that occurs in some group, weightiest first."""
    seen = {mark for group in groups for mark in group}
    return tuple(mark for mark in Mark if mark in seen)
