"""Who works on a run: attempts are claimed by exclusive creation, and taken over only from the dead.

Covered: two workers that start at once, on one machine or several; a worker killed at any point; a reused
process number; a reboot; clocks that disagree (a heartbeat is judged by observed change).
Not covered: a worker on another host that is stopped for longer than the observation and then goes on; it
cannot overwrite anything, since it writes under its own attempt and records are published exclusively.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from posttrainbench.errors import OwnedElsewhere
from posttrainbench.layout import AttemptLayout, RunLayout
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.ledger import utc_now

HEARTBEAT_S = 2.0
OBSERVED_S = 20.0  # a foreign heartbeat that does not change for this long is stale


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that works on an attempt. `started_ticks` tells it from a later one of the same number."""

    host: str
    boot_id: str
    pid: int
    started_ticks: int
    since_utc: str


def myself() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(socket.gethostname(), _boot_id(), pid, _started_ticks(pid) or 0, utc_now())


def is_alive(owner: Owner) -> bool | None:
    """Whether that process runs; None when it belongs to another host and cannot be seen from here."""
    if owner.host != socket.gethostname():
        return None
    return owner.boot_id == _boot_id() and _started_ticks(owner.pid) == owner.started_ticks


def attempt_numbers(layout: RunLayout) -> list[int]:
    """The attempts that exist, in order."""
    if not layout.attempts.is_dir():
        return []
    return sorted(int(path.name) for path in layout.attempts.iterdir() if path.name.isdigit())


def owner_of(attempt: AttemptLayout) -> Owner:
    """Who works, or worked, on an attempt."""
    return from_json(Owner, attempt.owner.read_text(), str(attempt.owner))


def pulse_of(attempt: AttemptLayout) -> str | None:
    """What changes while its worker lives; "released" once it is done, None before the first beat."""
    content = _content(attempt.heartbeat)
    return None if content is None else content.strip()


class Claim:
    """A claimed attempt: a context manager that beats while it is held."""

    def __init__(self, attempt: AttemptLayout) -> None:
        self.attempt = attempt
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> AttemptLayout:
        self._heart.start()
        return self.attempt

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._heart.join()
        with suppress(OSError):  # on a full disk; that we are gone can be seen all the same
            write_atomic(self.attempt.heartbeat, "released\n")

    def _beat(self) -> None:
        beats = 0
        while not self._released.wait(HEARTBEAT_S):
            beats += 1
            with suppress(OSError):  # a full disk, maybe not for long
                write_atomic(self.attempt.heartbeat, f"{beats}\n")


def claim(
    layout: RunLayout,
    scheduler_says_gone: Callable[[Owner], bool | None] = lambda _: None,
    observed_s: float = OBSERVED_S,
) -> Claim:
    """The next attempt of a run, for this process.

    `scheduler_says_gone(owner)`: True or False when the scheduler knows, None when it does not.

    Raises:
        OwnedElsewhere: a live worker holds the newest attempt, or another one was faster.
    """
    numbers = attempt_numbers(layout)
    if numbers:
        _insist_on_gone(layout.attempt(numbers[-1]), scheduler_says_gone, observed_s)
    number = numbers[-1] + 1 if numbers else 1
    return Claim(_create(layout, number))


def _create(layout: RunLayout, number: int) -> AttemptLayout:
    """Attempt `number`, with its owner in it from the first moment: a folder renamed into place."""
    layout.attempts.mkdir(parents=True, exist_ok=True)
    _sweep(layout)
    new = AttemptLayout(layout.attempts / f".claim-{os.getpid()}-{uuid4().hex}")
    new.root.mkdir()
    write_atomic(new.owner, to_json(myself()))
    target = layout.attempt(number)
    try:
        new.root.rename(target.root)  # fails when the target exists, since no attempt is ever empty
    except OSError:
        shutil.rmtree(new.root)
        raise OwnedElsewhere(f"{layout.root}: another worker has just started attempt {number}") from None
    return target


def _sweep(layout: RunLayout) -> None:
    """Remove what claimers of this host left when they were killed before their rename."""
    for left in layout.attempts.glob(".claim-*"):
        pid = left.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _insist_on_gone(
    attempt: AttemptLayout, scheduler_says_gone: Callable[[Owner], bool | None], observed_s: float
) -> None:
    if pulse_of(attempt) == "released":
        return
    owner = owner_of(attempt)
    alive = is_alive(owner)
    if alive is False:
        return
    gone = None if alive else scheduler_says_gone(owner)
    if alive or gone is False or not _is_still(attempt.heartbeat, observed_s):
        raise OwnedElsewhere(
            f"{attempt.root} is worked on by process {owner.pid} on {owner.host} since {owner.since_utc}; "
            f"wait for it, or end that process and repeat the command"
        )


def _is_still(heartbeat: Path, observed_s: float) -> bool:
    """Whether the heartbeat does not change while we look; clocks are not compared."""
    before = _content(heartbeat)
    until = time.monotonic() + observed_s
    while time.monotonic() < until:
        time.sleep(min(1.0, observed_s / 4))
        if _content(heartbeat) != before:
            return False
    return True


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started_ticks(pid: int) -> int | None:
    """When that process started, in clock ticks since boot; None when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
