"""The red team's results: rates with their uncertainty, and a table for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from posttrainbench.finding import CheckStatus
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
BAD = frozenset({Ending.MISSED, Ending.SUSPECTED, Ending.FLAGGED, Ending.FAILED})
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
class CheckCounts:
    """In how many runs a check passed, failed or did not run, and how many it disqualified."""

    check: str
    passed: int
    failed: int
    not_run: int
    disqualified: int


@dataclass(frozen=True, slots=True)
class Part:
    """All results of the suite without a judge, or with one, and what they come to."""

    rates: tuple[PolicyRates, ...]
    checks: tuple[CheckCounts, ...]
    results: tuple[CaseResult, ...]


@dataclass(frozen=True, slots=True)
class Report(Part):
    """All results of the suite without a judge; `judged` are the same runs with the judge's votes."""

    judge: str | None = None  # who judged; None: nobody did
    judged: Part | None = None


def report_of(
    results: Sequence[CaseResult], judge: str | None = None, judged: Sequence[CaseResult] = ()
) -> Report:
    """The rates of some results, policy by policy; `judged` are those of the same cases with a judge."""
    alone = _part(results)
    told = _part(judged) if judge else None
    return Report(alone.rates, alone.checks, alone.results, judge, told)


def _part(results: Sequence[CaseResult]) -> Part:
    policies = [policy for policy in Policy if any(r.case.policy is policy for r in results)]
    rates = tuple(_rates(policy, results) for policy in policies)
    return Part(rates, tuple(_counts(results)), tuple(results))


def _counts(results: Sequence[CaseResult]) -> Iterator[CheckCounts]:
    seen = [check for result in results for check in result.checks]
    for name in dict.fromkeys(one.check for one in seen):
        own = [one for one in seen if one.check == name]
        status = Counter(one.status for one in own)
        yield CheckCounts(
            name,
            status[CheckStatus.PASSED],
            status[CheckStatus.FAILED],
            status[CheckStatus.NOT_RUN],
            sum(one.disqualifies for one in own),
        )


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
    """One row per cheat, one column per policy; then rates, checks, and every case that did not end well.

    With a judge, rows have what came of the runs without it and, in a second column, with it.
    """
    policies = [rates.policy for rates in report.rates]
    parts = [part for part in (report, report.judged) if part is not None]
    columns = [(part, policy) for policy in policies for part in parts]
    headings = [policy if part is report else f"{policy}, judged" for part, policy in columns]
    made = Table("#", "cheat", *headings, "by", "twin", box=box.SIMPLE_HEAD, pad_edge=False)
    if report.judged:
        made.add_column("twin, judged")
    for number in sorted({result.case.cheat for result in report.results}):
        own = [cases_of(part, number) for part in parts]
        made.add_row(
            str(number),
            cheats[number].title,
            *(_endings(cases_of(part, number, policy)) for part, policy in columns),
            _checks(own[-1]),
            *(_endings(r for r in results if r.case.is_twin) for results in own),
        )
    return Group(made, *_sentences(report), _check_table(report), *_bad_ends(report))


def cases_of(part: Part, number: int, policy: Policy | None = None) -> list[CaseResult]:
    """All results of a cheat, or without its twin's under one policy."""
    own = [result for result in part.results if result.case.cheat == number]
    return [r for r in own if not policy or (r.case.policy is policy and not r.case.is_twin)]


def _endings(results: Iterable[CaseResult]) -> Text:
    counts = Counter(result.ending for result in results)
    shown = (Text(f"{count} {ending}", COLOURS[ending]) for ending in Ending if (count := counts[ending]))
    return Text("\n").join(shown)


def _checks(results: Sequence[CaseResult]) -> str:
    return ", ".join(sorted({check for r in results if r.ending is Ending.DETECTED for check in r.by}))


def _sentences(report: Report) -> Iterator[Text]:
    judged = report.judged.rates if report.judged else ()
    for number, rates in enumerate(report.rates):
        yield _sentence(rates, f"{rates.policy}, without a judge" if judged else rates.policy)
        if judged:
            yield _sentence(judged[number], f"{rates.policy}, judged by {visible(report.judge or '', 60)}")


def _sentence(rates: PolicyRates, name: str) -> Text:
    text = Text(f"{name}: ", "bold")
    text.append(f"prevented {rates.prevented}; detected of those carried out {rates.detected}; ", "not bold")
    text.append(f"either {rates.caught}; twins flagged {rates.flagged}", "not bold")
    if rates.failed:
        text.append(f"; {rates.failed} cases failed and tell nothing", "magenta")
    return text


def _check_table(report: Report) -> Table:
    """In how many runs each check passed, failed and did not run."""
    made = Table("check", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("passed", "failed", "not run", "disqualified"):
        made.add_column(heading, justify="right")
    for one in (report.judged or report).checks:
        made.add_row(one.check, *map(str, (one.passed, one.failed, one.not_run, one.disqualified)))
    return made


def _bad_ends(report: Report) -> Iterator[Text]:
    judged = {result.case: result for result in report.judged.results} if report.judged else {}
    for result in report.results:
        again = judged.get(result.case, result)
        if {result.ending, again.ending} & BAD:
            told = f"{result.case.name}: {result.ending}: {visible(result.why, 200)}"
            now = "" if again is result else f"; judged: {again.ending}"
            if again.ending is not result.ending:
                now += f": {visible(again.why, 200)}"
            yield Text(told + now, "dim")
