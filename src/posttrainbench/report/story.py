"""`ptb show`: what a run was, what happened in it, what was found, and where to look next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from posttrainbench.finding import (
    CheckReport,
    CheckStatus,
    Evidence,
    Finding,
    Strength,
    Verdict,
    VerdictLabel,
)
from posttrainbench.judgement import Judged, JudgeSpec
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import Outcome, RunRecord, RunSpec, Score, SolveEnd
from posttrainbench.report.timeline import LOUD, QUIET, Event, timeline
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points
from posttrainbench.report.work import WorkView
from posttrainbench.signature import Dispute

JSON_SCHEMA = "posttrainbench.story/1"
EVENTS_SHOWN = 60  # the first two thirds and the last third of them
EVIDENCE_SHOWN = 4  # per finding; all of it lies in the audit folder
VERDICT_STYLES = {
    VerdictLabel.CLEAN: "green",
    VerdictLabel.SUSPICIOUS: "yellow",
    VerdictLabel.UNKNOWN: "yellow",
    VerdictLabel.DISQUALIFIED: "red",
}
CHECK_STYLES = {CheckStatus.PASSED: "green", CheckStatus.FAILED: "red", CheckStatus.NOT_RUN: "yellow"}
WORST_FIRST = (CheckStatus.FAILED, CheckStatus.NOT_RUN, CheckStatus.PASSED)
STRENGTH_STYLES = {Strength.NOTE: "dim", Strength.SUSPICIOUS: "yellow", Strength.DISQUALIFYING: "red"}
ENDS = {
    SolveEnd.FINISHED: "the agent finished by itself",
    SolveEnd.CRASHED: "the agent crashed",
    SolveEnd.DEADLINE: "the agent was cut off at its deadline",
    SolveEnd.MEMORY_LIMIT: "the agent ran into its memory limit",
    SolveEnd.DISK_LIMIT: "the agent ran into its disk limit",
    SolveEnd.PIDS_LIMIT: "the agent ran into its process limit",
    SolveEnd.BUDGET_SPENT: "the agent stopped, its budget for model calls spent",
    SolveEnd.LLM_FAILED: "the agent stopped, its LLM out of reach",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Something to look at next; the path is relative to the run directory."""

    what: str
    path: PurePath


@dataclass(frozen=True, slots=True)
class Story:
    """A run as far as it is known; without a record it is not finished, or its worker died."""

    spec: RunSpec
    record: RunRecord | None
    entries: Sequence[LedgerEntry]
    root: PurePath
    places: Sequence[Place] = ()
    disputes: Sequence[Dispute] = ()
    work: WorkView | None = None  # None: no agent has started
    earlier: Sequence[RunRecord] = ()  # what was published before, oldest first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _header(self)
        if self.work is not None:
            yield _heading("How the agent worked")
            yield self.work
        yield _heading("What happened")
        yield _timeline_table(timeline(self.entries))
        if self.record is not None:
            yield _heading("What the checks say")
            yield _verdict(self.record.verdict)
        for dispute in self.disputes:
            yield Padding(disputed(dispute), (1, 0, 0, 0))
        if self.places:
            yield _heading(f"Where to look next, in {visible(str(self.root), 300)}")
            yield _places(self.places)


def story_json(story: Story) -> str:
    """Spec, record (null while there is none), timeline and ledger, as they are."""
    document = {
        "schema": JSON_SCHEMA,
        "spec": asdict(story.spec),
        "record": asdict(story.record) if story.record else None,
        "earlier": [asdict(record) for record in story.earlier],
        "work": asdict(story.work.work) if story.work else None,
        "timeline": [asdict(event) for event in timeline(story.entries)],
        "ledger": [asdict(entry) for entry in story.entries],
        "disputes": [asdict(dispute) for dispute in story.disputes],
        "places": {place.what: str(place.path) for place in story.places},
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


# --- header -------------------------------------------------------------------------------------------------


def _header(story: Story) -> RenderableType:
    spec, record = story.spec, story.record
    title = Text.assemble(
        (visible(spec.agent.name, 60), "bold"), f" on {visible(spec.task.name, 100)}, seed {spec.seed}"
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in [*_facts(spec, record), *_earlier(story.earlier)]:
        facts.add_row(name, text)
    return Group(title, facts)


def _facts(spec: RunSpec, record: RunRecord | None) -> list[tuple[str, Text]]:
    facts = [("run", Text(visible(spec.run_id)))]
    if record is None:
        facts.append(("outcome", Text("no record yet; continue or repeat it with ptb run", style="yellow")))
    else:
        facts += _outcome_facts(record)
    facts.append(("suite", Text(f"{visible(spec.suite, 60)}, digest {spec.suite_digest[:16]}")))
    facts.append(("rules", Text(_rules(spec))))
    if record is not None:
        facts += _working_facts(record)
    return facts


def _outcome_facts(record: RunRecord) -> list[tuple[str, Text]]:
    verdict = record.verdict
    label = Text(verdict.label.value, style=f"bold {VERDICT_STYLES[verdict.label]}")
    if verdict.label is VerdictLabel.DISQUALIFIED:
        label.append("; the score does not count, why: ptb audit RUN --explain", style="red")
    return [("outcome", _outcome(record.outcome)), ("verdict", label)]


def _outcome(outcome: Outcome) -> Text:
    if not isinstance(outcome, Score):
        kind = outcome.reason_kind.value.replace("_", " ")
        return Text.assemble(
            ("no score: ", "red"), f"{kind} (stage {outcome.stage}): {visible(outcome.reason, 400)}"
        )
    parts = "".join(f", {visible(part.name, 40)} {points(part.mean)}" for part in outcome.parts)
    return Text.assemble(
        (f"{points(outcome.mean)}%", "bold"), f"{_spread(outcome.stderr)} on {outcome.n} items{parts}"
    )


def _spread(stderr: float | None) -> str:
    return "" if stderr is None else f" ± {points(stderr)}"


def _rules(spec: RunSpec) -> str:
    task = spec.task
    return (
        f"policy {task.rules.policy}, {task.budget.wall_s:g} s, sandbox {visible(spec.sandbox, 40)}, "
        f"evaluation queries on {task.rules.query_split}"
    )


def _working_facts(record: RunRecord) -> list[tuple[str, Text]]:
    solved = record.solved
    work = f"{ENDS[solved.end]} after {solved.wall_s:.1f} s"
    work += "" if solved.exit_code is None else f" with status {solved.exit_code}"
    work += f"; it asked for {solved.evaluations} evaluations"
    work += f"; {visible(solved.reason, 300)}" if solved.reason else ""
    if solved.left_processes:
        work += f"; {solved.left_processes} processes were left after the kill"
    facts = [("work", Text(work))]
    admitted = record.admitted
    model = (
        "admitted" if admitted.status == "admitted" else f"{admitted.status}: {visible(admitted.reason, 400)}"
    )
    facts.append(
        ("final model", Text("\n".join((model, *(visible(note, 200) for note in admitted.notes[:6])))))
    )
    if not solved.isolation.isolated:
        broken = ", ".join(visible(g.name, 60) for g in solved.isolation.guarantees if not g.holds)
        facts.append(("isolation", Text(f"none: {broken or 'the run had no sandbox'}", style="bold red")))
    if record.judged is not None:
        facts.append(("judge", Text(_judge(record.judged))))
    if record.attempts > 1:
        facts.append(("attempts", Text(str(record.attempts))))
    return facts


def _judge(judged: Judged) -> str:
    void = sum(bool(vote.void) for vote in judged.votes)
    cost = "cost unknown" if judged.spend.cost_usd is None else f"{judged.spend.cost_usd:.4f} USD"
    return f"{_named(judged.judge)}: {len(judged.votes)} votes, {void} of them void; {cost}"


def _named(judge: JudgeSpec) -> str:
    parts = (judge.name, judge.model and f"({judge.model})", judge.host and f"at {judge.host}")
    return visible(" ".join(filter(None, parts)), 200)


def _earlier(records: Sequence[RunRecord]) -> Iterator[tuple[str, Text]]:
    """The verdicts that were published before: none of them is undone."""
    for number, record in enumerate(records, 1):
        by = _named(record.judged.judge) if record.judged else "no judge"
        yield "earlier" if number == 1 else "", Text(f"record {number}: {record.verdict.label}, {by}")


# --- timeline -----------------------------------------------------------------------------------------------


def _timeline_table(events: list[Event]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    head = events if len(events) <= EVENTS_SHOWN else events[: EVENTS_SHOWN * 2 // 3]
    tail = [] if len(events) <= EVENTS_SHOWN else events[-EVENTS_SHOWN // 3 :]
    for event in head:
        _add_event(table, event)
    if tail:
        table.add_row(
            "", "", Text(f"... {len(events) - len(head) - len(tail)} more, in ledger.jsonl ...", "dim")
        )
    for event in tail:
        _add_event(table, event)
    if not events:
        table.add_row("", "", Text("nothing yet", "dim"))
    return table


def _add_event(table: Table, event: Event) -> None:
    style = {LOUD: "red", QUIET: "dim"}.get(event.emphasis, "")
    repeated = f"  ×{event.count}" if event.count > 1 else ""  # noqa: RUF001 - a multiplication sign is meant
    kind = Text(visible(event.kind, 20), style="bold" if event.kind == "stage" else style)
    table.add_row(_clock(event.at_s), kind, Text(f"{visible(event.text, 600)}{repeated}", style=style))


def _clock(at_s: float | None) -> str:
    if at_s is None:
        return "?"
    whole = max(0, int(at_s))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


# --- verdict ------------------------------------------------------------------------------------------------


def _verdict(verdict: Verdict) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False, show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for check in sorted(verdict.checks, key=lambda check: WORST_FIRST.index(check.status)):
        status = Text(check.status.value.replace("_", " "), style=CHECK_STYLES[check.status])
        table.add_row(Text(visible(check.check, 20), style="bold"), status, _check(check))
    reported = {check.check for check in verdict.checks}
    silent = [reason for reason in verdict.reasons if verdict.label is VerdictLabel.UNKNOWN]
    lines = [
        Text(visible(reason, 300), style="yellow")
        for reason in silent
        if reason.split(" ")[0] not in reported
    ]
    return Group(table, *lines)


def _check(check: CheckReport) -> RenderableType:
    findings = [_finding(finding) for finding in check.findings]
    return Group(Text(visible(check.reason, 400), style="dim"), *findings)


def _finding(finding: Finding) -> RenderableType:
    style = STRENGTH_STYLES[finding.strength]
    line = Text.assemble((f"{finding.strength.value}: ", style), visible(finding.summary, 400))
    shown = [_evidence(evidence) for evidence in finding.evidence[:EVIDENCE_SHOWN]]
    more = len(finding.evidence) - len(shown)
    if more > 0:
        shown.append(Text(f"and {more} more in the audit folder", style="dim"))
    return Group(line, Padding(Group(*shown), (0, 0, 0, 2))) if shown else line


def _evidence(evidence: Evidence) -> Text:
    item = f", item {visible(evidence.item_id, 80)}" if evidence.item_id else ""
    where = f"{visible(evidence.source, 300)}, {shortened(visible(evidence.locator, 100))}{item}"
    detail = shortened(visible(evidence.detail, 300))
    return Text.assemble("- ", (where, "cyan"), f": {detail}", overflow="fold")


def shortened(text: str) -> str:
    """Digests cut to their first 12 digits; the audit folder has them whole."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1...", text)


def disputed(dispute: Dispute) -> Text:
    """What somebody holds against a verdict."""
    head = f"Disputed (record {dispute.record}, {visible(dispute.at_utc[:16], 20)} UTC): "
    return Text.assemble((head, "yellow"), visible(dispute.text, 4000))


# --- places -------------------------------------------------------------------------------------------------


def _places(places: Sequence[Place]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for place in places:
        table.add_row(place.what, Text(visible(str(place.path), 500)))
    return table


def _heading(text: str) -> RenderableType:
    return Padding(Rule(Text(text, style="bold"), align="left", style="dim"), (1, 0, 0, 0))
