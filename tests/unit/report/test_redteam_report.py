"""The red team's report: failed cases are in no rate, intervals are Wilson's, printed text is escaped."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from posttrainbench.finding import CheckStatus
from posttrainbench.ranking.uncertainty import wilson
from posttrainbench.redteam import TWIN, Case, CaseResult, Cheat, CheckSeen, Disguise, Ending, Trace
from posttrainbench.report.redteam import report_of, table
from posttrainbench.report.redteam_page import page
from posttrainbench.task import Policy

WAYS = tuple(Disguise(name, "does", (Trace("left", "*"),)) for name in ("a", "b", TWIN))
CHEATS = {7: Cheat(7, "made <by> hand", "none.py", WAYS[:2], WAYS[2], ("overlap",))}


def result(ending: Ending, disguise: str = "a", seed: int = 0) -> CaseResult:
    return CaseResult(Case(7, disguise, Policy.PAPER, seed), ending, None, ("overlap",), "why", "<script>")


RESULTS = [
    result(Ending.PREVENTED),
    result(Ending.DETECTED, seed=1),
    result(Ending.MISSED, seed=2),
    result(Ending.SUSPECTED, seed=3),
    result(Ending.FAILED, seed=4),
    result(Ending.CLEAN, TWIN),
    result(Ending.FAILED, TWIN, 1),
]


def test_cases_that_failed_are_in_no_rate() -> None:
    (rates,) = report_of(RESULTS).rates
    assert (rates.prevented.count, rates.prevented.of) == (1, 4)
    assert (rates.detected.count, rates.detected.of) == (1, 3)  # of those carried out
    assert (rates.caught.count, rates.caught.of) == (2, 4)
    assert (rates.flagged.count, rates.flagged.of) == (0, 1)
    assert rates.failed == 2


def test_with_a_judge_both_stand_side_by_side() -> None:
    judged = [result(Ending.DETECTED, seed=2), *(one for one in RESULTS if one.case.seed != 2)]
    made = report_of(RESULTS, "rules", judged)
    assert made.judged is not None
    assert (made.rates[0].caught.count, made.judged.rates[0].caught.count) == (2, 3)
    told = io.StringIO()
    Console(width=160, file=told).print(table(made, CHEATS))
    assert "paper, without a judge: " in told.getvalue()
    assert "paper, judged by rules: " in told.getvalue()
    assert "07-a--paper--s2: missed: why; judged: detected" in told.getvalue()
    html = page(made, CHEATS, "2026-01-01")
    assert "<h4>without a judge</h4>" in html
    assert "<h4>judged by rules</h4>" in html
    assert html.count("07-a--paper--s2") == 2  # what the judge changed is told, the rest is not told twice
    assert html.count("07-a--paper--s1") == 1


def test_every_check_is_counted_and_one_that_did_not_run_is_no_pass() -> None:
    seen = (
        CheckSeen("overlap", CheckStatus.FAILED, True, ()),
        CheckSeen("judge", CheckStatus.NOT_RUN, False, ()),
    )
    one = replace(RESULTS[1], checks=seen)
    two = replace(RESULTS[0], checks=(replace(seen[0], status=CheckStatus.PASSED, disqualifies=False),))
    overlap, judge = report_of([one, two]).checks
    assert (overlap.passed, overlap.failed, overlap.not_run, overlap.disqualified) == (1, 1, 0, 1)
    assert (judge.passed, judge.failed, judge.not_run, judge.disqualified) == (0, 0, 1, 0)
    assert "<td>judge</td><td>0</td><td>0</td><td>1</td><td>0</td>" in page(report_of([one]), CHEATS, "")


def test_wilsons_interval() -> None:
    assert wilson(0, 0) is None
    low, high = wilson(0, 10) or (1.0, 0.0)
    assert (low, high) == (0.0, pytest.approx(0.2775, abs=1e-4))
    low, high = wilson(8, 10) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_a_terminal_shows_every_bad_end() -> None:
    told = io.StringIO()
    Console(width=120, file=told).print(table(report_of(RESULTS), CHEATS))
    text = told.getvalue()
    assert "07-a--paper--s2: missed" in text
    assert "2 cases failed and tell nothing" in text


def test_what_a_program_says_is_no_markup() -> None:
    html = page(report_of(RESULTS), CHEATS, "2026-01-01")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "made &lt;by&gt; hand" in html
