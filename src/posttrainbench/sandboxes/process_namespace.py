"""The processes of one sandbox, seen and signalled from the host.

Linux promises that when the first process of a PID namespace dies, every other one dies with it, whatever it
did to get away; and that the first one counts as dead only after all others are.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Process:
    """What a process holds now."""

    pid: int  # as the sandbox numbers it
    memory_bytes: int  # resident, shared pages counted in full
    threads: int
    cpu_s: float  # by itself and by the children that it waited for


class ProcessTree(Protocol):
    """All processes of one sandbox, whatever holds them together."""

    pidfd: int  # of the first process

    def alive(self) -> bool: ...
    def count(self) -> int: ...
    def processes(self) -> Iterable[Process]: ...
    def exact_memory_bytes(self) -> int: ...
    def unlinked_bytes(self, devices: frozenset[int]) -> int: ...
    def folder_bytes(self, inside: str) -> int: ...
    def signal_all(self, number: signal.Signals) -> None: ...
    def kill(self) -> None: ...
    def count_left(self) -> int | None: ...
    def close(self) -> None: ...


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
        return not has_ended(self.pidfd)

    def count(self) -> int:
        """How many processes there are. Quick, also when there are thousands."""
        try:
            inside = os.open("root/proc", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
        except OSError:
            return 0
        try:
            return len(pids_in(inside))
        finally:
            os.close(inside)

    def processes(self) -> Iterator[Process]:
        """Everything that runs inside, the first process included; nothing when it cannot be seen.

        It reads the sandbox's own /proc: as quick on a host with ten thousand processes as on a laptop.
        """
        with contextlib.suppress(OSError):
            inside = os.open("root/proc", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
            try:
                for name in pids_in(inside):
                    if (process := read_process(inside, name)) is not None:
                        yield process
            finally:
                os.close(inside)

    def exact_memory_bytes(self) -> int:
        """The memory of all processes together, shared pages counted once. Slow: for when it matters."""
        proc = Path(f"/proc/{self.init_pid}/root/proc")
        return sum(proportional_bytes(proc / str(process.pid)) for process in self.processes())

    def unlinked_bytes(self, devices: frozenset[int]) -> int:
        """Bytes on `devices` in files that are deleted but still open inside, where no folder shows them."""
        proc = Path(f"/proc/{self.init_pid}/root/proc")
        return unlinked_bytes((proc / str(process.pid) for process in self.processes()), devices)

    def folder_bytes(self, inside: str) -> int:
        """Bytes used on the file system mounted at `inside`, a path of the sandbox."""
        try:
            facts = os.statvfs(f"/proc/{self.init_pid}/root{inside}")
        except OSError:
            return 0
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process but the first, which would not heed it."""
        for pid in descendants(self.init_pid):
            self._signal(pid, number)

    def kill(self) -> None:
        """Kill the first process, and so all of them."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def count_left(self) -> int | None:
        """How many processes still live; None when that cannot be told."""
        if self._id is None:
            return None
        return sum(1 for pid in host_pids() if self._lives_here(pid))

    def close(self) -> None:
        """Let go; the numbers may be used again by others."""
        os.close(self.pidfd)
        os.close(self._proc)

    def _lives_here(self, pid: int) -> bool:
        try:
            same = Path(f"/proc/{pid}/ns/pid").stat().st_ino == self._id
            return same and state(pid) not in ("Z", "X")
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


def host_pids() -> list[int]:
    """Every process number of the host."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def children(pid: int) -> tuple[int, ...]:
    """The host numbers of a process's children."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return tuple(found)


def descendants(pid: int) -> Iterator[int]:
    """The host numbers of all that descend from a process, each after its own children."""
    for child in children(pid):
        yield from descendants(child)
        yield child


def start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since boot: with its number, a name that is never used again."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def state(pid: int) -> str:
    """One letter: Z and X are dead."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def pids_in(proc: int) -> list[str]:
    """The process numbers that an open /proc folder shows."""
    return [name for name in os.listdir(proc) if name.isdigit()]


def read_process(proc: int, name: str) -> Process | None:
    """One process of an open /proc folder, or None when it has just gone."""
    try:
        file = os.open(f"{name}/stat", os.O_RDONLY, dir_fd=proc)
        try:
            fields = os.read(file, 4096).rpartition(b")")[2].split()
        finally:
            os.close(file)
        cpu_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return Process(int(name), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), int(fields[17]), cpu_s)
    except (OSError, IndexError, ValueError):
        return None


def has_ended(pidfd: int) -> bool:
    """Whether a process is dead, though perhaps not yet waited for."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def proportional_bytes(process: Path) -> int:
    """A process's share of memory, by its folder in a /proc: what n processes share counts 1/n for each."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def unlinked_bytes(processes: Iterable[Path], devices: frozenset[int]) -> int:
    """Bytes on `devices` in deleted files that these processes, folders of a /proc, hold open."""
    found: dict[tuple[int, int], int] = {}
    for process in processes:
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                facts = _deleted_file(link)
                if facts is not None and facts.st_dev in devices:
                    found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())


def _deleted_file(link: Path) -> os.stat_result | None:
    """What a descriptor of another process points at, when it is a deleted file."""
    with contextlib.suppress(OSError):
        if str(link.readlink()).endswith(" (deleted)"):
            facts = link.stat()
            return facts if facts.st_nlink == 0 else None
    return None
