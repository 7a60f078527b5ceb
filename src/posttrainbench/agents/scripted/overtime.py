"""Submits the base model early, then neither stops when told to nor leaves the workspace alone.

A daemon (two forks, a session of its own, TERM ignored) keeps writing a result file; so does the program.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fetch

STUBBORN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    fetch.submit_base(fetch.read_assignment())
    for number in STUBBORN:
        signal.signal(number, signal.SIG_IGN)
    start_daemon()
    print("still here, and staying", flush=True)
    keep_writing(Path("late_from_program.txt"))


def start_daemon() -> None:
    """A process whose parent is gone and whose session is its own."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    keep_writing(Path("late_from_daemon.txt"))


def keep_writing(path: Path) -> None:
    """Appends the time of the day, ten times a second, for ever."""
    while True:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.1f} score 0.99\n")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
