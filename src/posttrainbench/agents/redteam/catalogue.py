"""The catalogue: every cheat by its number. How to add one: docs/red-team.md."""

from __future__ import annotations

from collections.abc import Mapping

from posttrainbench.agents.redteam import data_rows, harness_rows, model_rows
from posttrainbench.redteam import Cheat

CHEATS: Mapping[int, Cheat] = {
    row.number: row for row in (*data_rows.ROWS, *model_rows.ROWS, *harness_rows.ROWS)
}
