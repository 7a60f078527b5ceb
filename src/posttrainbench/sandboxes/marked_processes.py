"""The processes of a command that no namespace holds: found by a mark in their environment.

Covered: children, daemons and what called setsid, as long as they keep the mark. Not covered: a process that
drops its environment, or changes its user.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from posttrainbench.sandboxes.process_namespace import (
    Process,
    has_ended,
    host_pids,
    proportional_bytes,
    read_process,
    start_ticks,
    state,
    unlinked_bytes,
)

KILL_ROUNDS = 20  # a tree that forks while it is killed needs several


class MarkedProcesses:
    """All processes whose environment holds a mark."""

    def __init__(self, first_pid: int, mark: str) -> None:
        self.pidfd = os.pidfd_open(first_pid)
        self._mark = mark.encode()
        self._known: dict[tuple[int, int | None], bool] = {}  # a process and when it started -> ours

    def alive(self) -> bool:
        """Whether the first process still lives."""
        return not has_ended(self.pidfd)

    def count(self) -> int:
        """How many of them there are."""
        return len(self._pids())

    def processes(self) -> Iterator[Process]:
        """Everything that bears the mark."""
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        try:
            for pid in self._pids():
                if (process := read_process(proc, str(pid))) is not None:
                    yield process
        finally:
            os.close(proc)

    def exact_memory_bytes(self) -> int:
        """The memory of all of them together, shared pages counted once."""
        return sum(proportional_bytes(Path(f"/proc/{pid}")) for pid in self._pids())

    def unlinked_bytes(self, devices: frozenset[int]) -> int:
        """Bytes on `devices` in deleted files that they hold open."""
        return unlinked_bytes((Path(f"/proc/{pid}") for pid in self._pids()), devices)

    def folder_bytes(self, inside: str) -> int:  # noqa: ARG002
        """Nothing: /tmp and /dev/shm are the host's."""
        return 0

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every one of them."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill them until none is left, or as often as makes sense."""
        for _ in range(KILL_ROUNDS):
            self.signal_all(signal.SIGKILL)
            if not self._pids():
                return
            time.sleep(0.01)

    def count_left(self) -> int | None:
        """How many still bear the mark and live."""
        return len(self._pids())

    def close(self) -> None:
        """Let go of the first process."""
        os.close(self.pidfd)

    def _pids(self) -> list[int]:
        return [pid for pid in host_pids() if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        key = (pid, start_ticks(pid))
        if key not in self._known:
            environment = _environment(pid)
            if not environment:  # it is just being started, or has none: ask again next time
                return False
            self._known[key] = self._mark in environment
        return self._known[key] and _lives(pid)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _lives(pid: int) -> bool:
    try:
        return state(pid) not in ("Z", "X")
    except OSError:
        return False
