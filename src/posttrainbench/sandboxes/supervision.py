"""A running sandbox: its output pumped, its limits watched, its end told."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from posttrainbench.load import SandboxLoad
from posttrainbench.protocols import SandboxEnd
from posttrainbench.sandboxes.cgroups import Group
from posttrainbench.sandboxes.meter import read_gpus, read_load
from posttrainbench.sandboxes.process_namespace import ProcessTree
from posttrainbench.sandboxes.watchdog import Watchdog

CHUNK_BYTES = 1 << 16
LAST_WORDS_S = 5.0  # how long a pipe may stay open after the last process that could write to it
KILLED_EXIT = 128 + signal.SIGKILL
# A limit that was hit this shortly before a bad end counts as its cause.
RECENT_S = {"memory": 10.0, "pids": 2.0}


@dataclass(frozen=True, slots=True)
class Started:
    """A sandbox whose command is about to run."""

    launcher: subprocess.Popen[bytes]
    output: int  # the end of the pipe that we read
    tree: ProcessTree
    group: Group | None
    watchdog: Watchdog
    gpu_ids: tuple[str, ...] = ()


class SupervisedProcess:
    """A sandbox under supervision, as the protocol `SandboxProcess` has it.

    `begin` starts the sandbox in the thread that pumps its output. Linux kills a sandbox whose parent
    *thread* dies: this one lives exactly as long as the sandbox, whichever thread called us.
    """

    def __init__(self, begin: Callable[[], Started], on_output: Callable[[bytes], None]) -> None:
        """Returns once the command runs, or raises what `begin` raised."""
        self._begin = begin
        self._on_output = on_output
        self._started: Started | None = None
        self._trouble: BaseException | None = None
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._end: SandboxEnd | None = None
        self._killed_for: str | None = None  # a limit, or "" when we were asked
        self._hits = Hits()
        self._holding = threading.Lock()  # nobody kills a tree that has just been let go
        threading.Thread(target=self._supervise, name="sandbox", daemon=True).start()
        self._ready.wait()
        if self._started is None and self._trouble is not None:
            raise self._trouble

    @property
    def group(self) -> Group | None:
        """The control group that holds it, if one does."""
        return self._started.group if self._started is not None else None

    def load(self) -> SandboxLoad | None:
        """What it takes of the machine now; None once it has ended."""
        started = self._started
        with self._holding:
            if started is None or self._ended.is_set():
                return None
            seen = read_load(started.tree, started.group, started.watchdog.disk_bytes)
        return replace(seen, gpus=read_gpus(started.gpu_ids))  # slow: nobody who must kill waits for it

    def wait(self, timeout_s: float) -> SandboxEnd | None:
        """The end, or None when the command still runs after `timeout_s` seconds."""
        self._ended.wait(max(0.0, timeout_s))
        return self._ended_as() if self._ended.is_set() else None

    def stop(self, grace_s: float) -> SandboxEnd:
        """Ask to end (TERM), wait `grace_s` seconds, then kill every process of the sandbox."""
        if not self._ended.is_set():
            self._tree().signal_all(signal.SIGTERM)
            if not self._ended.wait(max(0.0, grace_s)):
                self._kill("")
        self._ended.wait()
        return self._ended_as()

    def _ended_as(self) -> SandboxEnd:
        if self._trouble is not None:
            raise self._trouble
        assert self._end is not None
        return self._end

    def _tree(self) -> ProcessTree:
        assert self._started is not None
        return self._started.tree

    def _kill(self, limit: str) -> None:
        with self._holding:
            if self._ended.is_set():
                return
            if self._killed_for is None:
                self._killed_for = limit
            self._tree().kill()

    def _supervise(self) -> None:
        """The whole life of the sandbox, in one thread."""
        try:
            started = self._started = self._begin()
        except BaseException as trouble:
            self._trouble = trouble
            return
        finally:
            self._ready.set()
        watcher = threading.Thread(target=self._watch, args=(started,), name="sandbox-watchdog", daemon=True)
        watcher.start()
        try:
            self._pump(started)
        finally:
            started.tree.kill()  # what the command left behind; in a namespace it is dead already
            self._end = self._settle(started)
            with self._holding:
                self._ended.set()
            watcher.join()
            started.tree.close()

    def _pump(self, started: Started) -> None:
        """Hand on output until nothing is left that could write."""
        poller = select.poll()
        poller.register(started.output, select.POLLIN)
        poller.register(started.tree.pidfd, select.POLLIN)
        until_s = float("inf")
        while time.monotonic() < until_s:
            ready = dict(poller.poll(1000))
            if started.tree.pidfd in ready:
                poller.unregister(started.tree.pidfd)
                started.tree.kill()  # else what it left behind could keep the pipe open
                until_s = time.monotonic() + LAST_WORDS_S
            if started.output in ready:
                data = os.read(started.output, CHUNK_BYTES)
                if not data:
                    break
                self._hand_on(data)
        _wait_for(started.tree)

    def _hand_on(self, data: bytes) -> None:
        if self._trouble is None:
            try:
                self._on_output(data)
            except Exception as trouble:  # for the caller; keep draining: a full pipe blocks the command
                self._trouble = trouble

    def _watch(self, started: Started) -> None:
        try:
            while not self._ended.wait(started.watchdog.period_s):
                self._hits.note(started.group)
                limit = started.watchdog.broken()
                if limit is not None and started.tree.alive():
                    self._kill(limit)
        except Exception as trouble:  # nothing runs unwatched
            self._trouble = trouble
            self._kill("")

    def _settle(self, started: Started) -> SandboxEnd:
        """Collect what there is to say of a sandbox that is dead, and clear away its traces."""
        exit_code = _as_shells_say(started.launcher.wait())
        self._hits.note(started.group)
        peak_bytes = self._hits.peak_memory_bytes or started.watchdog.peak_memory_bytes
        if started.group is not None:
            started.group.remove()
        os.close(started.output)
        killed = self._killed_for is not None
        return SandboxEnd(
            exit_code=None if killed else exit_code,
            limit=(self._killed_for or None) if killed else self._hits.cause_of(exit_code),
            peak_memory_bytes=peak_bytes,
            left_processes=started.tree.count_left(),
        )


class Hits:
    """When a control group last refused something, and the most memory it was seen to hold."""

    def __init__(self) -> None:
        self.peak_memory_bytes: int | None = None
        self._counts = {"memory": 0, "pids": 0}
        self._at_s = {"memory": float("-inf"), "pids": float("-inf")}

    def note(self, group: Group | None) -> None:
        """Look whether a limit was hit since the last look."""
        if group is None:
            return
        self.peak_memory_bytes = group.peak_memory_bytes() or self.peak_memory_bytes
        for limit, count in (("memory", group.memory_kills()), ("pids", group.pids_refused())):
            if count > self._counts[limit]:
                self._counts[limit], self._at_s[limit] = count, time.monotonic()

    def cause_of(self, exit_code: int) -> str | None:
        """The limit that a command died of, if one did: an old hit that it survived is not the cause."""
        now_s = time.monotonic()
        if exit_code == KILLED_EXIT and self._counts["memory"]:
            return "memory"
        if exit_code == 0:
            return None
        return next((limit for limit, s in RECENT_S.items() if now_s - self._at_s[limit] < s), None)


def _as_shells_say(status: int) -> int:
    """128 + n for a command that died of signal n."""
    return status if status >= 0 else 128 - status


def _wait_for(tree: ProcessTree) -> None:
    """Wait until the first process of a tree is dead."""
    poller = select.poll()
    poller.register(tree.pidfd, select.POLLIN)
    poller.poll()
