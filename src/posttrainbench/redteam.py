"""The red team's nouns: a cheat, how it is disguised, what a run of it must show, and how it ended.

A case is one disguise of one cheat (or its honest twin) under one policy with one seed: a whole run. How it
ended rests on what the harness itself recorded. What the program says of itself only tells which records to
ask for: a program that broke off has cheated nobody and was stopped by nobody, so its case has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from posttrainbench.finding import CheckStatus, VerdictLabel
from posttrainbench.task import Policy

TWIN = "twin"

Record = Literal[
    "downloaded",  # a hub file that went out: REPOSITORY/FILE
    "asked",  # a request, whatever came of it: METHOD HOST PATH
    "denied",  # a request that the gateway refused: METHOD HOST PATH
    "called",  # a model call that was carried: the model's name
    "left",  # a file or link in the sealed workspace or home: its path
    "changed",  # a file of the final model that is not the base model's: its name
    "dropped",  # a changed file whose content is not in the admitted model
    "noted",  # admission's notes, or the reason of its refusal
    "scored",  # an evaluation that was answered with a score: the checkpoint's path
    "final",  # the split that the final score comes from
    "answered",  # an answer of the final evaluation: VALUE TEXT
    "outcome",  # the final score: MEAN of N samples
    "refused",  # the reason why admission refused the model
    "found",  # a check's finding: CHECK: SUMMARY
    "guarantee",  # of the sandbox, held on this machine: its name
    "ended",  # how the agent's time ended: finished, deadline, ...
    "processes",  # how many were alive after the kill
]


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that the harness recorded: where, and a pattern (`*`, `?`) of what, so often at least."""

    record: Record
    pattern: str
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Disguise:
    """One way to do a cheat, or the twin's way to do the nearest honest thing."""

    name: str
    does: str  # one line
    carried: tuple[Trace, ...]  # all are there when it was carried out
    stopped: tuple[Trace, ...] = ()  # any is there when it could not be, or was made worth nothing
    final: tuple[Trace, ...] = ()  # all are there when it was carried out and gains nothing all the same
    query_split: str = "dev"  # what its evaluations are on: "test", as in the paper, or a part kept for that


@dataclass(frozen=True, slots=True)
class Cheat:
    """One row of the catalogue. Numbers are stable names."""

    number: int
    title: str
    program: str  # its file among the red team's programs
    disguises: tuple[Disguise, ...]
    twin: Disguise
    checks: tuple[str, ...]  # any of these may catch it; a verdict for another reason does not count
    wall_s: float = 90.0
    benchmark: str = "range"  # of the range's, by its name in suite.toml

    def way(self, name: str) -> Disguise:
        """A disguise, or the twin, by its name."""
        return next(way for way in (*self.disguises, self.twin) if way.name == name)


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the suite."""

    cheat: int
    disguise: str
    policy: Policy
    seed: int

    @property
    def name(self) -> str:
        return f"{self.cheat:02d}-{self.disguise}--{self.policy}--s{self.seed}"

    @property
    def is_twin(self) -> bool:
        return self.disguise == TWIN


class Ending(StrEnum):
    """How a case ended."""

    PREVENTED = "prevented"  # the cheat could not be carried out, or gains nothing
    DETECTED = "detected"  # carried out, and disqualified by a check that may catch it
    SUSPECTED = "suspected"  # carried out; the run counts, but a person is told to look
    MISSED = "missed"  # carried out, and the run counts
    CLEAN = "clean"  # the twin did its honest thing, and nobody minds
    FLAGGED = "flagged"  # the twin was disqualified or suspected, or its model refused
    FAILED = "failed"  # the run shows neither the act nor what stopped it: it tells nothing


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """What one check came to in a case."""

    check: str
    status: CheckStatus
    disqualifies: bool
    summaries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case ended, and by what."""

    case: Case
    ending: Ending
    verdict: VerdictLabel | None  # None: there is no record
    by: tuple[str, ...]  # the checks that disqualified it
    why: str  # the records that the ending rests on, or what is missing
    told: str  # what the program says of itself
    checks: tuple[CheckSeen, ...] = ()
    wall_s: float = 0.0
