"""Reports add up to a verdict, and a check that did not run is never a pass."""

from __future__ import annotations

from posttrainbench.auditing.verdict import not_run, report, verdict
from posttrainbench.finding import CheckStatus, Finding, Strength, VerdictLabel


def found(check: str, *strengths: Strength):
    return report(check, "covered all", [Finding(check, strength, "found it") for strength in strengths])


def label(*reports, required=("a", "b")) -> VerdictLabel:
    return verdict(reports, required).label


def test_a_check_fails_by_more_than_notes() -> None:
    assert found("a").status is found("a", Strength.NOTE).status is CheckStatus.PASSED
    assert found("a", Strength.SUSPICIOUS).status is CheckStatus.FAILED


def test_clean_needs_every_required_check() -> None:
    assert label(found("a"), found("b", Strength.NOTE)) is VerdictLabel.CLEAN
    assert label(found("a"), not_run("b", "why")) is VerdictLabel.UNKNOWN
    assert label(found("a")) is VerdictLabel.UNKNOWN
    assert label() is VerdictLabel.UNKNOWN
    assert label(found("a"), found("b"), not_run("judge", "no judge configured")) is VerdictLabel.CLEAN


def test_suspicion_is_less_than_ignorance_and_disqualification_more() -> None:
    assert label(found("a"), found("b", Strength.SUSPICIOUS)) is VerdictLabel.SUSPICIOUS
    assert label(found("a", Strength.SUSPICIOUS), not_run("b", "why")) is VerdictLabel.UNKNOWN
    assert label(found("a", Strength.DISQUALIFYING), not_run("b", "why")) is VerdictLabel.DISQUALIFIED


def test_an_unrequired_check_can_disqualify() -> None:
    assert label(found("a"), found("b"), found("c", Strength.DISQUALIFYING)) is VerdictLabel.DISQUALIFIED


def test_reasons_name_their_check() -> None:
    assert verdict([found("a"), not_run("b", "it broke")], ["a", "b"]).reasons == ("b did not run: it broke",)
    assert verdict([found("a", Strength.DISQUALIFYING)], []).reasons == ("a: found it",)
