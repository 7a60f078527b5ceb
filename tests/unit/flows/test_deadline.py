"""An agent's time, by a clock that the test turns."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.budget import Budget
from posttrainbench.flows.deadline import Clock, Deadline


@dataclass
class Host:
    """A host whose clocks go when we say so."""

    running_s: float = 100.0
    unix_s: float = 1_000_000.0

    def work(self, wall_s: float) -> None:
        self.running_s, self.unix_s = self.running_s + wall_s, self.unix_s + wall_s

    def sleep(self, wall_s: float) -> None:
        self.unix_s += wall_s

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.running_s, lambda: self.unix_s)


def test_work_uses_up_the_time() -> None:
    host = Host()
    deadline = Deadline(Budget(3600), 600, host.clock)
    host.work(1000)
    assert (deadline.elapsed_s(), deadline.left_s(), deadline.moved_s()) == (1000, 2000, 0)
    assert deadline.unix_s() == 1_003_000
    host.work(5000)
    assert deadline.left_s() == 0


def test_a_suspended_host_costs_no_time_and_moves_the_deadline_once() -> None:
    host = Host()
    deadline = Deadline(Budget(3600), 0, host.clock)
    host.sleep(36_000)
    assert (deadline.left_s(), deadline.unix_s()) == (3600, 1_039_600)
    assert deadline.moved_s() == 36_000
    assert deadline.moved_s() == 0


def test_a_clock_that_is_set_moves_the_deadline_and_nothing_else() -> None:
    host = Host()
    deadline = Deadline(Budget(3600), 0, host.clock)
    host.unix_s -= 50
    assert (deadline.left_s(), deadline.moved_s()) == (3600, -50)
    host.unix_s += 1  # a clock that is kept in step moves by less than anybody notices
    assert deadline.moved_s() == 0


def test_the_time_runs_from_its_beginning() -> None:
    host = Host()
    deadline = Deadline(Budget(60), 0, host.clock)
    host.work(45)
    deadline.begin()
    assert (deadline.left_s(), deadline.moved_s()) == (60, 0)


def test_what_earlier_attempts_used_up_is_gone() -> None:
    assert Deadline(Budget(60), 61, Host().clock).left_s() == 0
