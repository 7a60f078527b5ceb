"""The `local` scheduler: jobs as processes of this machine, started at once."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess

from posttrainbench.protocols import SchedulerJob

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, however that dies: no run goes on unwatched."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class LocalJob:
    """A process of this machine, in a session of its own."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name, self._process = name, process

    def exit_code(self) -> int | None:
        """The exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def cancel(self) -> None:
        """Kill the process; its sandboxes die with it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class LocalScheduler:
    """Starts every job at once; how many run side by side is for the caller to decide."""

    name = "local"

    def submit(self, job: SchedulerJob) -> LocalJob:
        """Start a job; its output goes to job.log."""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                job.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it is one system call
            )
        return LocalJob(job.name, process)
