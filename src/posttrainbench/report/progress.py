"""What a run is doing now, and what came out, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from posttrainbench.finding import VerdictLabel
from posttrainbench.flows.spent import CLOCK, spent
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import Outcome, RunRecord, RunSpec, Score, SolveEnd, Stage

COLOURS = {
    VerdictLabel.CLEAN: "green",
    VerdictLabel.SUSPICIOUS: "yellow",
    VerdictLabel.UNKNOWN: "yellow",
    VerdictLabel.DISQUALIFIED: "red",
}


def now_of(entries: Sequence[LedgerEntry], spec: RunSpec, now_unix_s: float) -> str:
    """The stage that a run is in, with the time left while the agent works; "waiting" before its first."""
    stages = [entry for entry in entries if entry.kind == "stage"]
    if not stages:
        return "waiting"
    last = stages[-1]
    stage = str(last.data["stage"])
    if last.data["event"] != "start" or stage != Stage.SOLVE:
        return stage
    known = [entry for entry in entries if entry.kind == CLOCK and entry.index > last.index] or [last]
    since_s = now_unix_s - datetime.fromisoformat(known[-1].at_utc).timestamp()
    left_s = max(0, round(spec.task.budget.wall_s - (spent(entries).wall_s or 0.0) - since_s))
    return f"{stage}, {left_s // 60}:{left_s % 60:02d} left"


def percent(outcome: Outcome) -> str:
    """`61.0% ± 3.4`, or the failure's name."""
    if not isinstance(outcome, Score):
        return outcome.reason_kind.replace("_", " ")
    spread = f" ± {100 * outcome.stderr:.1f}" if outcome.stderr is not None else ""
    return f"{100 * outcome.mean:.1f}%{spread}"


def one_line(record: RunRecord) -> Text:
    """Who, on what, what came out, and whether it counts."""
    spec, verdict = record.spec, record.verdict
    line = Text(f"{spec.agent.name} on {spec.task.name}, seed {spec.seed}: {percent(record.outcome)}, ")
    line.append(verdict.label, style=COLOURS[verdict.label])
    if record.solved.end is not SolveEnd.FINISHED:
        line.append(f" (the agent's end: {record.solved.end.replace('_', ' ')})")
    if not record.solved.isolation.isolated:
        line.append(" (run without isolation)", style="red")
    return line
