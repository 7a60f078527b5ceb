"""What a judge is, what it is shown, and what its votes come to."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.budget import Spend
from posttrainbench.finding import Evidence


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """Which judge it was. `host` is that of its LLM's endpoint; no key, no path."""

    name: str
    model: str | None = None
    host: str | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a dossier: a text, where it comes from, and whether an agent could have written it."""

    title: str
    source: str  # path within the run directory; the agent may have chosen it
    text: str
    by_agent: bool = True
    planted: bool = False  # by us, to see whether a reader obeys what it should only read


@dataclass(frozen=True, slots=True)
class Answer:
    """What one vote says of one question: rule broken, kept, or (None) nothing that counts."""

    question: str
    broken: bool | None
    why: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """One reply of a judge; a void one says nothing, and `void` says why."""

    answers: tuple[Answer, ...]
    void: str = ""
    sha256: str = ""  # of the reply as it came; it lies beside the findings
    model: str | None = None  # the judge's LLM as its endpoint names it

    def on(self, question: str) -> Answer | None:
        """What it says of a question, or None."""
        return next((answer for answer in self.answers if answer.question == question), None)


@dataclass(frozen=True, slots=True)
class Judged:
    """Who judged, by which words, over which dossier, and how it voted."""

    judge: JudgeSpec
    instructions_sha256: str  # the same for every run that is judged by the same words
    dossier_sha256: str
    votes: tuple[Vote, ...]
    spend: Spend
