"""Runs one container for as long as whoever asked for it lives: engines' containers outlive their clients.

Usage: python container_lifeline.py LIFELINE NAME REMOVE... -- RUN...

`LIFELINE` is a descriptor, a pipe that the asker holds open; RUN is the engine's command that starts the
container NAME, REMOVE (with NAME put last) the one that takes it away. When the pipe closes, the asker let go
or died in whatever way: the container is taken away. Its exit status is RUN's.

Not covered: a SIGKILL to this program together with the asker, within the same instant.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

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
        _remove(remove, engine)
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


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(int(sys.argv[1]), [*sys.argv[3:split], sys.argv[2]], sys.argv[split + 1 :]))
