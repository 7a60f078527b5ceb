"""Every exception that we raise on purpose, and the classes of failure that a run can end in.

An exception is for whoever typed the command: one sentence that says what is wrong and what to do.
A failure is for whoever reads the leaderboard: it is data (`posttrainbench.record.Failure`), never a crash.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum


class PtbError(Exception):
    """Something that a person can mend; the command line prints its text as one line."""


class SetupError(PtbError):
    """This machine or this command line is not ready; the text holds the fix."""


class UnknownName(SetupError):
    """A name that nobody registered, with the nearest one that somebody did."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.kind, self.name, self.known = kind, name, names


class InvalidFile(SetupError):
    """A file of ours or of the user's that does not hold what it should."""


class SandboxUnavailable(SetupError):
    """The sandbox that was asked for cannot work on this machine."""


class OwnedElsewhere(PtbError):
    """Another live worker holds the run directory."""


class AlreadyPublished(PtbError):
    """Another worker published this record first; nothing was overwritten."""


class BrokenLedger(PtbError):
    """The hash chain of a ledger does not hold."""


class Refused(PtbError):
    """A final model that may not be loaded; the text says what was found and what was expected."""


class LlmUnavailable(PtbError):
    """A reply of an LLM that could not be had; the text says why."""


class GradeUnavailable(PtbError):
    """A grade that could not be had; the text says why. It makes a score a failure, never a zero."""


class FailureKind(StrEnum):
    """Why a run has no score."""

    NO_FINAL_MODEL = "no_final_model"
    AGENT_CRASHED = "agent_crashed"
    REJECTED_MODEL = "rejected_model"
    EVALUATION_FAILED = "evaluation_failed"
    INFRASTRUCTURE = "infrastructure"
