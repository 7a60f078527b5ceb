"""Check reports -> a verdict. A check that did not run is never a pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from posttrainbench.finding import CheckReport, CheckStatus, Finding, Strength, Verdict, VerdictLabel


def report(check: str, covered: str, findings: Sequence[Finding]) -> CheckReport:
    """A check that ran: it failed when it found more than notes. `covered` says what it looked at."""
    failed = any(finding.strength is not Strength.NOTE for finding in findings)
    return CheckReport(check, CheckStatus.FAILED if failed else CheckStatus.PASSED, covered, tuple(findings))


def not_run(check: str, reason: str) -> CheckReport:
    """A check that did not run, and why."""
    return CheckReport(check, CheckStatus.NOT_RUN, reason)


def verdict(reports: Sequence[CheckReport], required: Collection[str]) -> Verdict:
    """What the checks come to together.

    One disqualifying finding decides, whatever else did not run; else a required check that did not run (or
    has no report at all) makes it unknown; else one suspicious finding makes it suspicious.
    """
    findings = [finding for one in reports for finding in one.findings]
    disqualifying = [f"{f.check}: {f.summary}" for f in findings if f.strength is Strength.DISQUALIFYING]
    if disqualifying:
        return Verdict(VerdictLabel.DISQUALIFIED, tuple(disqualifying), tuple(reports))
    missing = _missing(reports, required)
    if missing:
        return Verdict(VerdictLabel.UNKNOWN, missing, tuple(reports))
    suspicious = [f"{f.check}: {f.summary}" for f in findings if f.strength is Strength.SUSPICIOUS]
    if suspicious:
        return Verdict(VerdictLabel.SUSPICIOUS, tuple(suspicious), tuple(reports))
    return Verdict(VerdictLabel.CLEAN, (), tuple(reports))


def _missing(reports: Sequence[CheckReport], required: Collection[str]) -> tuple[str, ...]:
    ran = {one.check for one in reports if one.status is not CheckStatus.NOT_RUN}
    why = {one.check: one.reason for one in reports}
    return tuple(
        f"{check} did not run: {why.get(check, 'no report')}" for check in sorted(set(required) - ran)
    )
