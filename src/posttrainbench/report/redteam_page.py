"""The red team's report as a page for a browser, self-contained.

Text that a program of the sandbox printed is shown through `visible`, and escaped.
"""

# ruff: noqa: E501 - markup is read line by line, whatever its length

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from posttrainbench.finding import CheckStatus
from posttrainbench.redteam import CaseResult, Cheat, Ending
from posttrainbench.report.redteam import PolicyRates, Rate, Report, cases_of
from posttrainbench.report.visible import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5f6b7c; --line: #dde2ea; --card: #fff; --page: #f4f6f9;
  --prevented: #2e8b57; --detected: #2f6fde; --suspected: #b7791f; --missed: #c93a3a; --failed: #8a4fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b8; --line: #333c4a; --card: #1a212c;
  --page: #10151d; --prevented: #4cc38a; --detected: #7aa7f7; --suspected: #e0ab4f; --missed: #f07575;
  --failed: #c39af0; } }
body { margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; background: var(--page); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 30px 0 10px; } p { margin: 4px 0; }
.soft { color: var(--soft); } .cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.card, table { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 14px 16px; } .card h3 { margin: 0 0 8px; font-size: 16px; }
.rate { display: grid; grid-template-columns: 88px 1fr 92px; gap: 10px; align-items: center; font-size: 13px; margin: 5px 0; }
.bar { position: relative; height: 12px; border-radius: 6px; background: var(--line); }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 6px; }
.bar b { position: absolute; top: -2px; bottom: -2px; border: solid var(--ink); border-width: 0 1.5px; opacity: .65; }
.bar b::after { content: ""; position: absolute; left: 0; right: 0; top: 50%; border-top: 1.5px solid var(--ink); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 14px; overflow: hidden; }
th, td { text-align: left; padding: 7px 10px; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border: 0; color: var(--soft); font-weight: 600; } td.n { color: var(--soft); text-align: right; }
.e { display: inline-block; padding: 0 8px; border-radius: 9px; color: var(--card); font-size: 12px; line-height: 19px;
  margin: 1px 3px 1px 0; white-space: nowrap; }
.prevented, .clean { background: var(--prevented); } .detected { background: var(--detected); }
.suspected { background: var(--suspected); } .missed, .flagged { background: var(--missed); } .failed { background: var(--failed); }
.judged { border-top: 1px dotted var(--line); margin-top: 5px; padding-top: 3px; color: var(--soft); font-size: 12px; }
h4 { margin: 10px 0 2px; font-size: 13px; font-weight: 600; color: var(--soft); } .wide { overflow-x: auto; }
details { margin: 2px 0; } summary { cursor: pointer; color: var(--soft); font-size: 13px; }
.case { padding: 7px 0; border-top: 1px dashed var(--line); font-size: 13px; overflow-wrap: anywhere; }
"""
_MEANINGS = (
    (Ending.PREVENTED, "could not be carried out, or gains nothing"),
    (Ending.DETECTED, "carried out and disqualified, with evidence"),
    (Ending.SUSPECTED, "the run counts, but a person is told to look"),
    (Ending.MISSED, "the run counts"),
    (Ending.CLEAN, "an honest twin that nobody minds"),
    (Ending.FLAGGED, "an honest twin that somebody minds"),
    (Ending.FAILED, "tells nothing"),
)


def page(report: Report, cheats: Mapping[int, Cheat], made_utc: str) -> str:
    """The report as one self-contained HTML page; with a judge, what it changes stands beside the rest."""
    numbers = sorted({result.case.cheat for result in report.results})
    judge = f"without a judge, and judged by {_judge(report)}" if report.judged else "without a judge"
    legend = " ".join(
        f"<span class='e {e}'>{e}</span><span class='soft'>{means}</span>" for e, means in _MEANINGS
    )
    policies = "".join(f"<th>{rates.policy}</th>" for rates in report.rates)
    cards = "".join(_card(report, number) for number in range(len(report.rates)))
    rows = "".join(_row(cheats[number], report) for number in numbers)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Red team</title><style>{_STYLE}</style>"
        f"<h1>Red team: {len(numbers)} cheats and their honest twins</h1>"
        f"<p class='soft'>{len(report.results)} whole runs, {judge}; {escape(made_utc[:16].replace('T', ' '))} UTC. A case that tells nothing is "
        "in no rate. Whiskers: Wilson 95% intervals.</p>"
        f"<h2>Rates</h2><div class='cards'>{cards}</div>"
        f"<h2>Check by check</h2>{_checks(report)}"
        f"<h2>Cheat by cheat</h2><p>{legend}</p>"
        f"<div class='wide'><table><thead><tr><th></th><th>cheat</th>{policies}<th>honest twin</th></tr></thead>{rows}</table></div></html>\n"
    )


def _judge(report: Report) -> str:
    return escape(visible(report.judge or ""))


def _card(report: Report, number: int) -> str:
    rates = report.rates[number]
    if report.judged is None:
        return f"<div class='card'><h3>{rates.policy}</h3>{_bars(rates)}</div>"
    return (
        f"<div class='card'><h3>{rates.policy}</h3><h4>without a judge</h4>{_bars(rates)}"
        f"<h4>judged by {_judge(report)}</h4>{_bars(report.judged.rates[number])}</div>"
    )


def _bars(rates: PolicyRates) -> str:
    bars = (
        ("prevented", rates.prevented, "prevented"),
        ("detected", rates.detected, "detected"),
        ("either", rates.caught, "prevented"),
        ("twins flagged", rates.flagged, "missed"),
    )
    failed = f"<p class='soft'>{rates.failed} cases failed and tell nothing</p>" if rates.failed else ""
    return "".join(_bar(*bar) for bar in bars) + failed


def _bar(name: str, rate: Rate, colour: str) -> str:
    if rate.low is None or rate.high is None:
        return f"<div class='rate'><span>{name}</span><span class='bar'></span><span class='soft'>none</span></div>"
    share, low, wide = 100 * rate.count / rate.of, 100 * rate.low, 100 * (rate.high - rate.low)
    return (
        f"<div class='rate'><span>{name}</span><span class='bar'><i class='{colour}' style='width:{share:.1f}%'></i>"
        f"<b style='left:{low:.1f}%;width:{wide:.1f}%'></b></span><span>{rate.count} of {rate.of}</span></div>"
    )


def _checks(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.check)}</td><td>{one.passed}</td><td>{one.failed}</td><td>{one.not_run}</td>"
        f"<td>{one.disqualified}</td></tr>"
        for one in (report.judged or report).checks
    )
    heads = "".join(f"<th>{head}</th>" for head in ("check", "passed", "failed", "not run", "disqualified"))
    return f"<div class='wide'><table><thead><tr>{heads}</tr></thead>{rows}</table></div>"


def _row(cheat: Cheat, report: Report) -> str:
    parts = [part for part in (report, report.judged) if part is not None]
    cells = "".join(
        f"<td>{_told_apart([_caught(cases_of(part, cheat.number, rates.policy)) for part in parts])}</td>"
        for rates in report.rates
    )
    own = [cases_of(part, cheat.number) for part in parts]
    twins = _told_apart([_tags([one for one in results if one.case.is_twin]) for results in own])
    cases = "".join(map(_case, own[0])) + "".join(map(_case, _changed(*own)))
    return (
        f"<tr><td class='n'>{cheat.number}</td><td>{escape(cheat.title)}<details><summary>{len(own[0])} runs</summary>"
        f"{cases}</details></td>{cells}<td>{twins}<div class='soft'>{escape(cheat.twin.does)}</div>"
        "</td></tr>"
    )


def _told_apart(cells: Sequence[str]) -> str:
    """What came without a judge, and below it what came with one."""
    return "<div class='judged'>judged</div>".join(cells)


def _changed(alone: Sequence[CaseResult], judged: Sequence[CaseResult] = ()) -> list[CaseResult]:
    """The judged results that differ from those without a judge."""
    before = {result.case: result.ending for result in alone}
    return [result for result in judged if before.get(result.case) is not result.ending]


def _caught(results: Sequence[CaseResult]) -> str:
    by = sorted({check for r in results if r.ending is Ending.DETECTED for check in r.by})
    return _tags(results) + (f"<div class='soft'>{escape(', '.join(by))}</div>" if by else "")


def _tags(results: Sequence[CaseResult]) -> str:
    counts = Counter(result.ending for result in results)
    return "".join(f"<span class='e {e}'>{n} {e}</span>" for e in Ending if (n := counts[e]))


def _case(result: CaseResult) -> str:
    not_run = [check.check for check in result.checks if check.status is CheckStatus.NOT_RUN]
    unrun = f"; not run: {', '.join(not_run)}" if not_run else ""
    return (
        f"<div class='case'><span class='e {result.ending}'>{result.ending}</span> <b>{escape(result.case.name)}</b> "
        f"{escape(visible(result.why, 400))}<div class='soft'>verdict {result.verdict or 'none'}"
        f"{escape(unrun)}; it says: {escape(visible(result.told, 200))}</div></div>"
    )
