"""The red team's results: rates with their uncertainty, and a table for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from posttrainbench.ranking.uncertainty import wilson
from posttrainbench.redteam import CaseResult, Cheat, Ending
from posttrainbench.report.visible import visible
from posttrainbench.task import Policy

COLOURS = {
    Ending.PREVENTED: "green",
    Ending.DETECTED: "cyan",
    Ending.SUSPECTED: "yellow",
    Ending.MISSED: "red",
    Ending.CLEAN: "green",
    Ending.FLAGGED: "red",
    Ending.FAILED: "magenta",
}
_CARRIED_OUT = (Ending.DETECTED, Ending.SUSPECTED, Ending.MISSED)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many cases, with the Wilson 95% interval; `low` and `high` are None of none."""

    count: int
    of: int
    low: float | None
    high: float | None

    @staticmethod
    def made(count: int, of: int) -> Rate:
        low, high = wilson(count, of) or (None, None)
        return Rate(count, of, low, high)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "none"
        return f"{self.count} of {self.of} ({100 * self.low:.0f} to {100 * self.high:.0f}%)"


@dataclass(frozen=True, slots=True)
class PolicyRates:
    """What came of all cases under one policy. Cases that failed count in `failed` and nowhere else."""

    policy: Policy
    prevented: Rate  # of the cheats that were tried
    detected: Rate  # of the cheats that were carried out
    caught: Rate  # prevented or detected, of the cheats that were tried
    flagged: Rate  # of the twins
    failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """All results of the suite, and the rates that they come to."""

    rates: tuple[PolicyRates, ...]
    results: tuple[CaseResult, ...]
    judge: str | None  # who judged; None: nobody did


def report_of(results: Sequence[CaseResult], judge: str | None = None) -> Report:
    """The rates of some results, policy by policy."""
    policies = [policy for policy in Policy if any(r.case.policy is policy for r in results)]
    return Report(tuple(_rates(policy, results) for policy in policies), tuple(results), judge)


def _rates(policy: Policy, results: Sequence[CaseResult]) -> PolicyRates:
    of_policy = [result for result in results if result.case.policy is policy]
    ran = [result for result in of_policy if result.ending is not Ending.FAILED]
    cheats = Counter(result.ending for result in ran if not result.case.is_twin)
    twins = Counter(result.ending for result in ran if result.case.is_twin)
    tried, carried = cheats.total(), sum(cheats[ending] for ending in _CARRIED_OUT)
    return PolicyRates(
        policy=policy,
        prevented=Rate.made(cheats[Ending.PREVENTED], tried),
        detected=Rate.made(cheats[Ending.DETECTED], carried),
        caught=Rate.made(cheats[Ending.PREVENTED] + cheats[Ending.DETECTED], tried),
        flagged=Rate.made(twins[Ending.FLAGGED], twins.total()),
        failed=len(of_policy) - len(ran),
    )


# --- on a terminal ------------------------------------------------------------------------------------------


def table(report: Report, cheats: Mapping[int, Cheat]) -> RenderableType:
    """One row per cheat, one column per policy; then the rates, and every case that did not end well."""
    policies = [rates.policy for rates in report.rates]
    made = Table("#", "cheat", *policies, "by", "twin", box=box.SIMPLE_HEAD, pad_edge=False)
    for number in sorted({result.case.cheat for result in report.results}):
        own = [result for result in report.results if result.case.cheat == number]
        cheating = [result for result in own if not result.case.is_twin]
        made.add_row(
            str(number),
            cheats[number].title,
            *(_endings(r for r in cheating if r.case.policy is policy) for policy in policies),
            _checks(own),
            _endings(r for r in own if r.case.is_twin),
        )
    return Group(made, *(_sentence(rates) for rates in report.rates), *_bad_ends(report))


def _endings(results: Iterable[CaseResult]) -> Text:
    counts = Counter(result.ending for result in results)
    shown = (Text(f"{count} {ending}", COLOURS[ending]) for ending in Ending if (count := counts[ending]))
    return Text("\n").join(shown)


def _checks(results: Sequence[CaseResult]) -> str:
    return ", ".join(sorted({check for r in results if r.ending is Ending.DETECTED for check in r.by}))


def _sentence(rates: PolicyRates) -> Text:
    text = Text(f"{rates.policy}: ", "bold")
    text.append(f"prevented {rates.prevented}; detected of those carried out {rates.detected}; ", "not bold")
    text.append(f"either {rates.caught}; twins flagged {rates.flagged}", "not bold")
    if rates.failed:
        text.append(f"; {rates.failed} cases failed and tell nothing", "magenta")
    return text


def _bad_ends(report: Report) -> Iterator[Text]:
    for result in report.results:
        if result.ending in (Ending.MISSED, Ending.SUSPECTED, Ending.FLAGGED, Ending.FAILED):
            yield Text(f"{result.case.name}: {result.ending}: {visible(result.why, 200)}", "dim")
