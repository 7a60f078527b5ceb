"""Limits that no kernel mechanism holds here: disk always, memory and processes where no group is writable.

Covered: blocks (not apparent sizes) in the watched folders and in deleted files that are still open; resident
memory, shared pages once, and what /tmp and /dev/shm hold; processes and threads. It looks several times a
second. Not covered: what a command takes and gives back between two looks, and how far it gets past a limit
before the next (a few hundred milliseconds of allocation); a deleted file held by a mapping alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.sandboxes.cgroups import Group
from posttrainbench.sandboxes.disk_use import disk_use_bytes
from posttrainbench.sandboxes.process_namespace import ProcessTree

DISK_EVERY_S = 0.5
DISK_SHARE = 0.05  # of one core's time, at most, goes into measuring disks
MEMORY_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the sandbox


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watchdog looks after."""

    limits: Limits
    folders: Sequence[Path]
    memory: bool  # no group holds it
    pids: bool


class Watchdog:
    """Says which limit a sandbox has broken."""

    def __init__(self, tree: ProcessTree, job: Watched) -> None:
        self.peak_memory_bytes: int | None = None
        self._tree = tree
        self._job = job
        self._devices = frozenset(_device(folder) for folder in job.folders)
        self._disk_due_s = 0.0
        self._disk_bytes = 0
        self._free_bytes = self._free()

    @property
    def disk_bytes(self) -> int | None:
        """What the watched folders held at the last look; None without any."""
        return self._disk_bytes if self._job.folders else None

    @property
    def period_s(self) -> float:
        """How long to sleep between two looks."""
        return 0.05 if self._job.memory or self._job.pids else 0.25

    def broken(self) -> str | None:
        """The limit that is broken now: "pids", "memory", "disk", or None."""
        return self._crowd() or self._disk()

    def _crowd(self) -> str | None:
        if not (self._job.memory or self._job.pids):
            return None
        if self._job.pids and self._tree.count() > self._job.limits.pids:
            return "pids"  # a fork bomb: to look at each one would take too long
        processes = list(self._tree.processes())
        if self._job.pids and sum(process.threads for process in processes) > self._job.limits.pids:
            return "pids"
        if not self._job.memory:
            return None
        held_bytes = sum(self._tree.folder_bytes(folder) for folder in MEMORY_FOLDERS)
        used_bytes = held_bytes + sum(process.memory_bytes for process in processes)
        if used_bytes > self._job.limits.memory_bytes:  # shared pages were counted many times: look closer
            used_bytes = held_bytes + self._tree.exact_memory_bytes()
        self.peak_memory_bytes = max(self.peak_memory_bytes or 0, used_bytes)
        return "memory" if used_bytes > self._job.limits.memory_bytes else None

    def _disk(self) -> str | None:
        if not self._job.folders or not self._disk_is_due():
            return None
        began_s = time.monotonic()
        self._free_bytes = self._free()
        self._disk_bytes = disk_use_bytes(self._job.folders) + self._tree.unlinked_bytes(self._devices)
        now_s = time.monotonic()
        self._disk_due_s = now_s + max(DISK_EVERY_S, (now_s - began_s) / DISK_SHARE)
        return "disk" if self._disk_bytes > self._job.limits.disk_bytes else None

    def _disk_is_due(self) -> bool:
        """Time for a look, or the disk lost as much room as the sandbox had left."""
        room_bytes = self._job.limits.disk_bytes - self._disk_bytes
        return time.monotonic() >= self._disk_due_s or self._free_bytes - self._free() > room_bytes

    def _free(self) -> int:
        return sum(_free_bytes(folder) for folder in self._job.folders)


def watchdog_for(tree: ProcessTree, limits: Limits, folders: Sequence[Path], group: Group | None) -> Watchdog:
    """A watchdog over all that `group` does not hold."""
    memory = group is None or group.memory is None
    return Watchdog(tree, Watched(limits, folders, memory, group is None or group.pids is None))


def _device(folder: Path) -> int:
    try:
        return folder.stat().st_dev
    except OSError:
        return -1


def _free_bytes(folder: Path) -> int:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize
