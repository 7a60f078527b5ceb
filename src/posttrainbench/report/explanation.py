"""`ptb audit RUN --explain`: a verdict in the order in which a person asks about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePath

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from posttrainbench.explanation import Explained, Explanation, Shown
from posttrainbench.finding import VerdictLabel
from posttrainbench.report.story import VERDICT_STYLES, disputed, shortened
from posttrainbench.report.visible import visible

JSON_SCHEMA = "posttrainbench.explanation/1"
MEANS = {
    VerdictLabel.CLEAN: "every required check ran, and found nothing that weighs",
    VerdictLabel.SUSPICIOUS: "the score counts and is marked: a person should look",
    VerdictLabel.UNKNOWN: "the score counts and is marked: a required check did not run",
    VerdictLabel.DISQUALIFIED: "the score does not count",
}


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """An explanation for a terminal; `root` is the run directory as it was typed."""

    explanation: Explanation
    root: PurePath

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = self.explanation.verdict.label
        name, style = visible(self.explanation.run_id, 200), f"bold {VERDICT_STYLES[label]}"
        yield Text.assemble((name, "bold"), ": ", (label.value, style), f"; {MEANS[label]}")
        for number, explained in enumerate(self.explanation.explained, 1):
            yield Padding(_finding(number, explained), (1, 0, 0, 0))
        if self.explanation.silent:
            yield Padding(Group("Not checked:", *_silent(self.explanation)), (1, 0, 0, 0))
        for dispute in self.explanation.disputes:
            yield Padding(disputed(dispute), (1, 0, 0, 0))
        yield Padding(_next_steps(self.root), (1, 0, 0, 0))


def explanation_json(explanation: Explanation) -> str:
    """Everything that the terminal shows, as it is."""
    document = {"schema": JSON_SCHEMA, **asdict(explanation)}
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _finding(number: int, explained: Explained) -> RenderableType:
    finding, meaning = explained.finding, explained.meaning
    head = Text.assemble(
        (f"{number}. {finding.strength.value}", "bold"), f" ({visible(finding.check, 20)}): ",
        visible(finding.summary, 400),
    )  # fmt: skip
    facts = _facts()
    facts.add_row("rule", meaning.rule)
    for shown in explained.shown:
        _add(facts, shown)
    if explained.more > 0:
        facts.add_row("more", f"{explained.more} more in {visible(explained.evidence_file)}")
    facts.add_row("not proven", meaning.unproven)
    return Group(head, Padding(facts, (0, 0, 0, 3)))


def _facts() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _add(facts: Table, shown: Shown) -> None:
    evidence = shown.evidence
    item = f", test item {visible(evidence.item_id, 80)}" if evidence.item_id else ""
    detail = shortened(visible(evidence.detail, 300))
    place = f"{visible(evidence.source, 300)}, {shortened(visible(evidence.locator, 100))}{item}"
    facts.add_row("where", Text(f"{place}: {detail}"))
    if shown.quote is not None:
        facts.add_row("it says", Text(shortened(visible(shown.quote, 600)), style="italic"))
    if shown.remark:
        facts.add_row("", Text(visible(shown.remark, 300), style="dim"))
    if shown.command is not None:
        facts.add_row("look", Text(visible(shown.command, 1000), style="cyan"))


def _next_steps(root: PurePath) -> RenderableType:
    shown = visible(str(root), 300)
    facts = _facts()
    facts.add_row("look from", Text(f"cd {shown}", style="cyan"))
    facts.add_row("whole story", Text(f"ptb show {shown}", style="cyan"))
    facts.add_row("unchanged?", Text(f"ptb verify {shown}", style="cyan"))
    facts.add_row("dispute it", Text(f'ptb audit {shown} --dispute "why it is wrong"', style="cyan"))
    return facts


def _silent(explanation: Explanation) -> Iterator[Text]:
    for check in explanation.silent:
        yield Text(f"   {visible(check.check, 20)}: {visible(check.reason, 300)}")
