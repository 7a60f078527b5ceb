"""Evidence -> finding -> verdict: what an audit says, and what it says it by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Strength(StrEnum):
    """How much a finding weighs by itself."""

    NOTE = "note"  # worth a reader's eye; changes nothing
    SUSPICIOUS = "suspicious"  # a person should look
    DISQUALIFYING = "disqualifying"  # the score does not count


class CheckStatus(StrEnum):
    """How a check ended. NOT_RUN is never a pass."""

    PASSED = "pass"
    FAILED = "fail"
    NOT_RUN = "not_run"


class VerdictLabel(StrEnum):
    """What a run's integrity comes to."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    DISQUALIFIED = "disqualified"
    UNKNOWN = "unknown"  # a required check did not run


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that a person can go and look at."""

    source: str  # path within the run directory, URL, or tensor name
    locator: str  # "line 12", "ledger entry 7", "sha256 ..."
    detail: str  # what is to be seen there, in a sentence
    item_id: str | None = None  # the test item concerned; its text is never quoted


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    check: str
    strength: Strength
    summary: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check's end: its status, why (for NOT_RUN: why not), what it covered, what it found."""

    check: str
    status: CheckStatus
    reason: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks come to together."""

    label: VerdictLabel
    reasons: tuple[str, ...]
    checks: tuple[CheckReport, ...]
