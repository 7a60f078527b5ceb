"""Runs one container for as long as whoever asked for it lives: engines' containers outlive their clients.

Usage: python container_lifeline.py LIFELINE [REMOVE...] -- RUN...

`LIFELINE` is a descriptor, a pipe that the asker holds open; RUN is the command that starts the container,
REMOVE the one that takes it away; without it, killing RUN and its descendants does. When the pipe closes, the
asker let go or died in whatever way: the container is taken away. Its exit status is RUN's.

Not covered: a SIGKILL to this program together with the asker, within the same instant.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 30.0  # an engine that is still building the container removes nothing yet


def main(lifeline: int, remove: list[str], run: list[str]) -> int:
    """The exit status of `run`, as a shell would tell it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the asker decides when this ends
    engine = subprocess.Popen(run, start_new_session=True)
    poll = select.poll()
    poll.register(lifeline, select.POLLHUP)
    poll.register(os.pidfd_open(engine.pid), select.POLLIN)
    if any(descriptor == lifeline for descriptor, _ in poll.poll()):
        _remove(remove, engine) if remove else _kill(engine.pid)
    status = engine.wait()
    return status if status >= 0 else 128 - status


def _remove(remove: list[str], engine: subprocess.Popen[bytes]) -> None:
    """Take the container away, also one that is only being built."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        subprocess.run(
            remove,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if engine.poll() is not None:
            break
        time.sleep(0.1)
    if engine.poll() is None:
        engine.kill()
    # It may have come up between the last try and the end of its client.
    subprocess.run(
        remove, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )


def _kill(pid: int) -> None:
    """Kill a process and all that descend from it, children first."""
    os.kill(pid, signal.SIGSTOP)  # it starts no more while we look
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            with contextlib.suppress(OSError):
                _kill(child)
    os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]))
