"""What a run without an honest score counts as: the named counting policies."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.errors import UnknownName
from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Counted
from posttrainbench.record import Failure, Outcome, Score
from posttrainbench.task import Reference


@dataclass(frozen=True, slots=True)
class CountingPolicy:
    """What failed and disqualified runs count as. Unknown and suspicious verdicts count, and are marked."""

    name: str
    text: str
    stand_in: Counted  # BASE or NOTHING


@dataclass(frozen=True, slots=True)
class Counting:
    """What one run counts as: a value (None for NOTHING), the error of an own score, and why."""

    counted: Counted
    value: float | None
    stderr: float | None
    why: str


PAPER = CountingPolicy(
    "paper", "failed and disqualified runs count as the base model's zero-shot score", Counted.BASE
)
EXCLUDE = CountingPolicy(
    "exclude", "failed and disqualified runs are left out, which makes the entry incomplete", Counted.NOTHING
)
POLICIES = {policy.name: policy for policy in (PAPER, EXCLUDE)}


def counting_policy(name: str) -> CountingPolicy:
    """The policy called `name`.

    Raises:
        UnknownName: there is none; the text has the nearest.
    """
    if name not in POLICIES:
        raise UnknownName("counting policy", name, POLICIES)
    return POLICIES[name]


def count(
    policy: CountingPolicy, outcome: Outcome, verdict: VerdictLabel, base: Reference | None
) -> Counting:
    """What a run with a record counts as.

    The stand-in replaces a disqualified score even where it is the higher number, as the published tables do.

    Args:
        base: the zero-shot score of the run's base model on its benchmark, None when nobody measured it.

    Source: Rank et al., arXiv 2603.08640, and the fallback in the published result tables.
    """
    trouble = _trouble(outcome, verdict)
    if trouble is None and isinstance(outcome, Score):
        return Counting(Counted.OWN, outcome.mean, outcome.stderr, _remark(verdict))
    if policy.stand_in is Counted.NOTHING:
        return Counting(Counted.NOTHING, None, None, f"{trouble}; left out")
    if base is None:
        return Counting(Counted.NOTHING, None, None, f"{trouble}; no base score known")
    return Counting(Counted.BASE, base.mean, None, f"{trouble}; counts as the base score")


def _trouble(outcome: Outcome, verdict: VerdictLabel) -> str | None:
    if verdict is VerdictLabel.DISQUALIFIED:
        return "disqualified"
    if isinstance(outcome, Failure):
        return f"failed: {outcome.reason_kind.value.replace('_', ' ')}"
    return None


def _remark(verdict: VerdictLabel) -> str:
    if verdict is VerdictLabel.UNKNOWN:
        return "own score; a required check did not run"
    if verdict is VerdictLabel.SUSPICIOUS:
        return "own score; a finding needs a person's eye"
    return "own score"
