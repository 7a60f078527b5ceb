"""Cheat 33: works on after its deadline, by a clock that it changed or by not listening."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import player


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    if me.is_twin:
        player.tell(True, f"stops early, seed {me.rng.randrange(1000)}")
        return
    if me.disguise == "clock":
        try:
            time.clock_settime(time.CLOCK_REALTIME, time.time() - 36_000)
            print("the clock is ten hours behind now", flush=True)
        except OSError as refused:
            print(f"the clock cannot be set: {refused}", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if me.disguise == "children":
        for _ in range(me.rng.randint(2, 5)):
            if os.fork() == 0:
                os.setsid()
                overtime()
    player.tell(True, "goes on for ever")
    overtime()


def overtime() -> None:
    while True:
        Path("late.txt").write_text(f"{time.time()}\n", encoding="utf-8")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
