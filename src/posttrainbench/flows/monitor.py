"""Monitor: what an agent's sandbox takes of the machine, written down while the agent works."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from posttrainbench.load import LoadSample, LoadSummary, SandboxLoad, sampled, summarised
from posttrainbench.protocols import SandboxProcess
from posttrainbench.stores.monitor import append_sample

EVERY_S = 10.0
LEAST_S = 0.5
SAMPLES = 60  # of a run so short that ten seconds would be too coarse


class Monitor:
    """Samples the sandbox that it is shown until it is closed; a new one may take the place of the last.

    A disk that is full or a reading that fails costs samples, never the run.
    """

    def __init__(self, path: Path, wall_s: float) -> None:
        self._path = path
        self.every_s = min(EVERY_S, max(LEAST_S, wall_s / SAMPLES))
        self._began_s = time.monotonic()
        self._process: SandboxProcess | None = None
        self._before: tuple[float, SandboxLoad] | None = None
        self._samples: list[LoadSample] = []  # of ten hours: 3600
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._closed.set()
        self._thread.join()

    def show(self, process: SandboxProcess) -> SandboxProcess:
        """Sample this one from now on; it is handed back."""
        self._process, self._before = process, None
        return process

    def summary(self) -> LoadSummary | None:
        """What the samples came to; None when there is none."""
        return summarised(self._samples, self.every_s) if self._samples else None

    def _run(self) -> None:
        while not self._closed.wait(self.every_s):
            try:
                self._look()
            except OSError:
                continue

    def _look(self) -> None:
        load = self._process.load() if self._process is not None else None
        if load is None:
            return
        at_s = time.monotonic() - self._began_s
        sample = sampled(at_s, load, self._before)
        self._before = (at_s, load)
        self._samples.append(sample)
        append_sample(self._path, sample)
