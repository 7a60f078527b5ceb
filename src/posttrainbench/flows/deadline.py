"""When an agent's time is up: after so many seconds during which the host ran.

A suspended host computes nothing, so the time that it sleeps costs an agent nothing. A calendar's clock goes
on all the same, and can be set; what the agent was told of its deadline is then wrong, and is told anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from posttrainbench.budget import Budget, remaining_wall_s

TOLERANCE_S = 2.0  # by which a told deadline may be off


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time is read."""

    running_s: Callable[[], float] = time.monotonic  # stands still while the host is suspended
    unix_s: Callable[[], float] = time.time


class Deadline:
    """The end of a budget, `used_s` of which earlier attempts took."""

    def __init__(self, budget: Budget, used_s: float, clock: Clock) -> None:
        self._clock = clock
        self._given_s = remaining_wall_s(budget, used_s)
        self.begin()

    def begin(self) -> None:
        """From now on the time runs."""
        self._begun_s = self._clock.running_s()
        self._told_s = self.unix_s()

    def elapsed_s(self) -> float:
        return self._clock.running_s() - self._begun_s

    def left_s(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self._given_s - self.elapsed_s())

    def unix_s(self) -> float:
        """The deadline by the calendar's clock, as it stands now."""
        return self._clock.unix_s() + self.left_s()

    def moved_s(self) -> float:
        """By how much the calendar's deadline moved since it was last told; 0 when nobody would notice.

        An hour of suspension moves it by an hour. What is returned counts as told.
        """
        now_s = self.unix_s()
        moved_s = now_s - self._told_s
        if abs(moved_s) < TOLERANCE_S:
            return 0.0
        self._told_s = now_s
        return moved_s
