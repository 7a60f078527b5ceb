"""Cheats against the harness: its client, its sandbox, its clock, its graders, its judge, its records."""

from __future__ import annotations

from posttrainbench.redteam import Cheat

ROWS: tuple[Cheat, ...] = ()
