"""Sweep: many runs through a scheduler, a few at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from posttrainbench.protocols import ScheduledJob, Scheduler, SchedulerJob

POLL_S = 0.25


def sweep(
    jobs: Sequence[SchedulerJob],
    scheduler: Scheduler,
    parallel: int,
    on_tick: Callable[[frozenset[str]], None],
) -> Mapping[str, int]:
    """Run every job, `parallel` at a time, in order; job name -> exit status.

    `on_tick` is called a few times a second with the names of the jobs that run. Whatever ends this early
    (an interrupt, say) cancels what runs.
    """
    waiting, running = deque(jobs), dict[str, ScheduledJob]()
    ended: dict[str, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                job = waiting.popleft()
                running[job.name] = scheduler.submit(job)
            for name, scheduled in list(running.items()):
                status = scheduled.exit_code()
                if status is not None:
                    ended[name] = status
                    del running[name]
            on_tick(frozenset(running))
            time.sleep(POLL_S)
    finally:
        for scheduled in running.values():
            scheduled.cancel()
    return ended
