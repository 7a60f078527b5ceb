"""The catalogue: every cheat by its number. How to add one: docs/red-team.md."""

from __future__ import annotations

from collections.abc import Mapping

from posttrainbench.agents.redteam import data_rows, harness_rows, model_rows
from posttrainbench.redteam import Cheat

# A few of each kind, whose first disguise and twin show within minutes that every line of defence holds.
REPRESENTATIVE = (2, 3, 5, 8, 11, 15, 22, 27, 29, 34, 36)
CHEATS: Mapping[int, Cheat] = {
    row.number: row for row in (*data_rows.ROWS, *model_rows.ROWS, *harness_rows.ROWS)
}
