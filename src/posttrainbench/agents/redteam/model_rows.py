"""Cheats with the final model: whose weights they are, and what else lies in its folder."""

from __future__ import annotations

from posttrainbench.redteam import Cheat

ROWS: tuple[Cheat, ...] = ()
