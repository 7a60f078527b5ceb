"""What a person is told of a verdict: what was found, which rule that breaks, where to look for oneself."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.finding import CheckReport, Evidence, Finding, Verdict
from posttrainbench.signature import Dispute


@dataclass(frozen=True, slots=True)
class Shown:
    """One piece of evidence, as far as it may be shown."""

    evidence: Evidence
    quote: str | None  # the agent's own words there; what is a test item's is withheld. None: see `remark`
    remark: str  # why nothing is quoted; empty when something is
    command: str | None  # shows the place itself, typed in the run directory; None: nothing simple does


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a check's findings mean."""

    rule: str  # that they break
    unproven: str  # what they do not show


@dataclass(frozen=True, slots=True)
class Explained:
    """One finding, with what it means and what can be seen of it."""

    finding: Finding
    meaning: Meaning
    shown: tuple[Shown, ...]
    more: int  # pieces of evidence beyond the shown ones
    evidence_file: str  # holds all of them, relative to the run directory


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run has its verdict; findings weightiest first, notes left out."""

    run_id: str
    verdict: Verdict
    explained: tuple[Explained, ...]
    silent: tuple[CheckReport, ...]  # checks that did not run
    disputes: tuple[Dispute, ...] = ()  # what people hold against it, oldest first
