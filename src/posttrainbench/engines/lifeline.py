"""Runs a command for as long as whoever asked for it lives; afterwards nothing of the command is left.

Usage: python lifeline.py COMMAND [ARGUMENT ...], with a pipe as standard input that the asker holds open.

When the pipe closes (the asker let go, or died in whatever way) or the command ends, every process that
descends from the command is ended: those that started sessions of their own too, since orphans come to us.

Not covered: a SIGKILL to this program itself. The command dies with it, but children of its own might not;
inside a sandbox they end with the sandbox.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 5.0  # between asking and killing
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_LIBC = ctypes.CDLL(None)


def main(command: list[str]) -> int:
    """The command's exit status, as a shell would tell it."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_end_all()))
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - one system call
    )
    select.select([sys.stdin, os.pidfd_open(child.pid)], [], [])
    status = child.poll()
    _end_all()
    return 0 if status is None else status if status >= 0 else 128 - status


def _end_all() -> int:
    """Ask every descendant to end, wait a little, then kill; returns once none is left."""
    _signal_all(signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until:
        if not _reap():
            return 0
        time.sleep(0.02)
    while _reap():
        _signal_all(signal.SIGKILL)
        time.sleep(0.01)
    return 0


def _reap() -> bool:
    """Collect those that have ended; whether any child is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _signal_all(number: signal.Signals) -> None:
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants() -> set[int]:
    """Every living process that descends from this one."""
    parents = dict(_parents())
    found = {os.getpid()}
    while added := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= added
    return found - {os.getpid()}


def _parents() -> list[tuple[int, int]]:
    """(process, its parent) of all that /proc shows."""
    pairs = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_text(errors="replace").rpartition(")")[2]
            pairs.append((int(folder.name), int(after_name.split()[1])))
    return pairs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
