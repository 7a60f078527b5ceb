"""The processes of one sandbox, seen and signalled from the host.

Linux promises that when the first process of a PID namespace dies, every other one dies with it, whatever it
did to get away; and that the first one counts as dead only after all others are.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """What a process holds now."""

    pid: int  # as the sandbox numbers it
    memory_bytes: int  # resident, shared pages counted in full
    threads: int


class ProcessNamespace:
    """A PID namespace, held by its first process."""

    def __init__(self, init_pid: int) -> None:
        """Takes hold of the namespace whose first process the host knows as `init_pid`."""
        self.init_pid = init_pid
        self.pidfd = os.pidfd_open(init_pid)
        self._proc = os.open(f"/proc/{init_pid}", os.O_PATH | os.O_DIRECTORY)  # never another process's
        self._id = self._read_id()

    def _read_id(self) -> int | None:
        try:
            return os.stat("ns/pid", dir_fd=self._proc).st_ino
        except OSError:
            return None

    def alive(self) -> bool:
        """Whether any process of the namespace still lives."""
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return not poller.poll(0)

    def processes(self) -> Iterator[Process]:
        """Everything that runs inside, the first process included; nothing when it cannot be seen.

        It reads the sandbox's own /proc: as quick on a host with ten thousand processes as on a laptop.
        """
        with contextlib.suppress(OSError):
            inside = os.open("root/proc", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
            try:
                for name in os.listdir(inside):
                    if name.isdigit() and (process := _process(inside, name)) is not None:
                        yield process
            finally:
                os.close(inside)

    def exact_memory_bytes(self) -> int:
        """The memory of all processes together, shared pages counted once. Slow: for when it matters."""
        return sum(_proportional_bytes(self.init_pid, process.pid) for process in self.processes())

    def unlinked_bytes(self, devices: frozenset[int]) -> int:
        """Bytes on `devices` in files that are deleted but still open inside, where no folder shows them."""
        found: dict[tuple[int, int], int] = {}
        for process in self.processes():
            folder = Path(f"/proc/{self.init_pid}/root/proc/{process.pid}/fd")
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    facts = _open_file(entry.path)
                    if facts is not None and facts.st_nlink == 0 and facts.st_dev in devices:
                        found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
        return sum(found.values())

    def folder_bytes(self, inside: str) -> int:
        """Bytes used on the file system mounted at `inside`, a path of the sandbox."""
        try:
            facts = os.statvfs(f"/proc/{self.init_pid}/root{inside}")
        except OSError:
            return 0
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process but the first, which would not heed it."""
        for pid in self._descendants(self.init_pid):
            self._signal(pid, number)

    def kill(self) -> None:
        """Kill the first process, and so all of them."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def count_left(self) -> int | None:
        """How many processes still live; None when that cannot be told."""
        if self._id is None:
            return None
        return sum(1 for name in os.listdir("/proc") if name.isdigit() and self._lives_here(int(name)))

    def close(self) -> None:
        """Let go; the numbers may be used again by others."""
        os.close(self.pidfd)
        os.close(self._proc)

    def _descendants(self, pid: int) -> Iterator[int]:
        for child in children(pid):
            yield from self._descendants(child)
            yield child

    def _lives_here(self, pid: int) -> bool:
        try:
            same = Path(f"/proc/{pid}/ns/pid").stat().st_ino == self._id
            return same and _state(pid) not in ("Z", "X")
        except OSError:
            return False

    def _signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a process by its host number, provided that it still is one of ours."""
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                if self._lives_here(pid):
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def children(pid: int) -> tuple[int, ...]:
    """The host numbers of a process's children."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return tuple(found)


def start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since boot: with its number, a name that is never used again."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _process(proc: int, name: str) -> Process | None:
    """One process of a /proc folder, or None when it has just gone."""
    try:
        file = os.open(f"{name}/stat", os.O_RDONLY, dir_fd=proc)
        try:
            fields = os.read(file, 4096).rpartition(b")")[2].split()
        finally:
            os.close(file)
        return Process(int(name), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), int(fields[17]))
    except (OSError, IndexError, ValueError):
        return None


def _proportional_bytes(init_pid: int, pid: int) -> int:
    path = Path(f"/proc/{init_pid}/root/proc/{pid}/smaps_rollup")
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _open_file(link: str) -> os.stat_result | None:
    """What a descriptor of another process points at, when it is a deleted file."""
    try:
        return os.stat(link) if os.readlink(link).endswith(" (deleted)") else None  # noqa: PTH116, PTH115
    except OSError:
        return None
