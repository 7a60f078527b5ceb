"""Limits on memory and processes by the kernel's control groups, where this user may make some.

Both generations are served. Where neither is writable, `open_group` gives None and a watchdog has to do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.sandboxes.process_namespace import start_ticks

PREFIX = "ptb-"
CONTROLLERS = ("memory", "pids")
STALE_AFTER_S = 60.0  # a group this old and without its owner is left over from a run that was killed
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mounted control-group hierarchy: version 1 has one for each controller, version 2 has one for all."""

    version: int
    controller: str  # "" in version 2
    at: Path
    root: str  # the group that `at` shows


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one sandbox. A controller that we could not have is None."""

    version: int
    memory: Path | None
    pids: Path | None

    def add(self, pid: int) -> None:
        """Put a process in; its children follow by themselves.

        Raises:
            OSError: this user may not.
        """
        for folder in self._folders():
            (folder / "cgroup.procs").write_text(str(pid))

    def memory_kills(self) -> int:
        """How many processes the kernel killed for want of memory."""
        events = "memory.oom_control" if self.version == 1 else "memory.events"
        return _event(self.memory, events, "oom_kill")

    def pids_refused(self) -> int:
        """How many times a process could not be made."""
        return _event(self.pids, "pids.events", "max")

    def peak_memory_bytes(self) -> int | None:
        """The most memory ever held, page cache included."""
        peak = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return _number(self.memory / peak) if self.memory is not None else None

    def remove(self, patience_s: float = 1.0) -> None:
        """Take the group away once its processes are gone."""
        until = time.monotonic() + patience_s
        for folder in self._folders():
            while not _removed(folder) and time.monotonic() < until:
                time.sleep(0.01)

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(folder for folder in (self.memory, self.pids) if folder is not None))


def open_group(limits: Limits) -> Group | None:
    """A new group with these limits, or None where no hierarchy lets us make one."""
    mountinfo, own = Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    parents = {controller: parents_of(controller, mountinfo, own) for controller in CONTROLLERS}
    return make_group(parents, limits, f"{PREFIX}{os.getpid()}-{start_ticks(os.getpid())}-{next(_serial)}")


def make_group(parents: dict[str, list[tuple[int, Path]]], limits: Limits, name: str) -> Group | None:
    """A group called `name` under the first parent of each controller that accepts it."""
    memory = _first_that_takes(parents["memory"], "memory", limits, name)
    pids = _first_that_takes(parents["pids"], "pids", limits, name)
    version = next((made[0] for made in (memory, pids) if made is not None), None)
    if version is None:
        return None
    return Group(version, memory[1] if memory else None, pids[1] if pids else None)


def _first_that_takes(
    parents: list[tuple[int, Path]], controller: str, limits: Limits, name: str
) -> tuple[int, Path] | None:
    for version, parent in parents:
        remove_stale(parent)
        folder = parent / name
        there = folder.exists()  # version 2 has one folder for both controllers
        try:
            if version == 2:
                _enable(parent, controller)
            folder.mkdir(exist_ok=True)
            _limit(folder, version, controller, limits)
        except OSError:
            if not there:
                _removed(folder)
            continue
        return version, folder
    return None


def _enable(parent: Path, controller: str) -> None:
    """Let the groups under `parent` limit `controller`; refused where `parent` itself holds processes."""
    control = parent / "cgroup.subtree_control"
    if controller not in control.read_text().split():
        control.write_text(f"+{controller}")


def _limit(folder: Path, version: int, controller: str, limits: Limits) -> None:
    if controller == "pids":
        (folder / "pids.max").write_text(str(limits.pids))
        return
    if version == 2:
        (folder / "memory.max").write_text(str(limits.memory_bytes))
        swap, allowed_bytes = folder / "memory.swap.max", 0
    else:
        (folder / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        swap, allowed_bytes = folder / "memory.memsw.limit_in_bytes", limits.memory_bytes  # memory and swap
    if swap.exists():  # kernels without swap accounting do not have it
        swap.write_text(str(allowed_bytes))


def remove_stale(parent: Path) -> None:
    """Remove groups whose owner died before it could."""
    with contextlib.suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*-*-*"):
            with contextlib.suppress(OSError, ValueError):
                pid, ticks = folder.name.removeprefix(PREFIX).split("-")[:2]
                old = time.time() - folder.stat().st_mtime > STALE_AFTER_S
                if old and str(start_ticks(int(pid))) != ticks:
                    folder.rmdir()  # refused while anything lives in it


def _mounted(mountinfo: str) -> Iterator[Mounted]:
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind, options = left.split(), right.split()[0], right.split()[-1].split(",")
        if kind == "cgroup2":
            yield Mounted(2, "", Path(fields[4]), fields[3])
        elif kind == "cgroup":
            yield from (
                Mounted(1, name, Path(fields[4]), fields[3]) for name in CONTROLLERS if name in options
            )


def _own_groups(text: str) -> dict[str, str]:
    """Controller -> our own group in its hierarchy; "" is version 2."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def parents_of(controller: str, mountinfo: str, own_groups: str) -> list[tuple[int, Path]]:
    """Where a group could be made, best first: within our own, so that limits already on us stay in force.

    In version 2 a group that holds processes cannot limit its children, so its ancestors are tried as well.
    The texts are those of /proc/self/mountinfo and /proc/self/cgroup; each place comes with its version.
    """
    mounted, own = list(_mounted(mountinfo)), _own_groups(own_groups)
    first = [
        (1, _folder(mount, own[controller]))
        for mount in mounted
        if mount.controller == controller and controller in own
    ]
    second = [
        (2, folder)
        for mount in mounted
        if mount.version == 2 and "" in own
        for folder in _upward(_folder(mount, own[""]), mount.at)
        if controller in _words(folder / "cgroup.controllers")
    ]
    return first + second


def _folder(mount: Mounted, group: str) -> Path:
    """Where a group lies under a mount that may show only part of the hierarchy."""
    seen = os.path.relpath(group, mount.root) if group.startswith(mount.root.rstrip("/") + "/") else "."
    return Path(os.path.normpath(mount.at / seen))


def _upward(folder: Path, top: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if path == top or top in path.parents]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _event(folder: Path | None, file: str, name: str) -> int:
    words = _words(folder / file) if folder is not None else []
    return next((int(words[i + 1]) for i in range(len(words) - 1) if words[i] == name), 0)


def _number(path: Path) -> int | None:
    words = _words(path)
    return int(words[0]) if words and words[0].isdigit() else None


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
