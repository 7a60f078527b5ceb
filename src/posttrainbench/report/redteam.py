"""The red team's results as a table, JSON and a page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from posttrainbench.redteam import CaseResult
from posttrainbench.report.visible import visible


def table(results: Sequence[CaseResult]) -> Table:
    """One row per case."""
    made = Table("case", "ending", "by", "why")
    for result in results:
        made.add_row(result.case.name, result.ending, ", ".join(result.by), visible(result.why, 90))
    return made
