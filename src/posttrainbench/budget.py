"""What a run may use (budget, limits) and what it did use (spend)."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Budget:
    """What an agent may use over a whole run; None means that it is not bounded."""

    wall_s: float
    gpus: int = 0
    cost_usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What an agent did use; None means that it was not measured, never zero."""

    wall_s: float | None = None
    cost_usd: float | None = None
    tokens: int | None = None
    evaluations: int | None = None
    broken_off: int | None = (
        None  # model calls that did not come to their end, hence did not tell all they took
    )
    broken_off_usd: float | None = (
        None  # about what the sums above lack because of them, judging by their texts
    )
    broken_off_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox may hold at any one moment."""

    memory_bytes: int = 4 * GIB
    pids: int = 512
    disk_bytes: int = 8 * GIB
    file_bytes: int = 4 * GIB
    open_files: int = 4096
    shm_bytes: int = 256 * MIB
    tmp_bytes: int = 1 * GIB


def remaining_wall_s(budget: Budget, elapsed_s: float) -> float:
    """The seconds left of a budget, never below zero."""
    return max(0.0, budget.wall_s - elapsed_s)
