"""What an agent's sandbox took of the machine, moment by moment, and what that came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU of a sandbox's now."""

    busy: float  # share of the time in which it computed anything, in [0, 1]
    memory_bytes: int
    power_w: float | None = None


@dataclass(frozen=True, slots=True)
class SandboxLoad:
    """What a sandbox takes now; None: cannot be told here."""

    cpu_s: float | None  # by all its processes until now, ended ones included
    memory_bytes: int | None  # without what only caches files
    processes: int | None
    disk_bytes: int | None
    gpus: tuple[GpuLoad, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadSample:
    """A sandbox's load at one moment."""

    at_s: float  # since the agent's start
    cpu_cores: float | None  # in use on average since the sample before
    memory_bytes: int | None
    processes: int | None
    disk_bytes: int | None
    gpus: tuple[GpuLoad, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What all samples of a run came to; None where none of them could tell."""

    samples: int
    every_s: float
    mean_cpu_cores: float | None = None
    peak_memory_bytes: int | None = None
    peak_disk_bytes: int | None = None
    gpus: int = 0
    mean_gpu_busy: float | None = None  # over GPUs and time, in [0, 1]
    peak_gpu_memory_bytes: int | None = None  # of the fullest GPU


def sampled(at_s: float, load: SandboxLoad, before: tuple[float, SandboxLoad] | None) -> LoadSample:
    """The sample that a reading makes, given the one before it."""
    cores = None
    if before is not None and load.cpu_s is not None and before[1].cpu_s is not None and at_s > before[0]:
        cores = max(0.0, load.cpu_s - before[1].cpu_s) / (at_s - before[0])
    rounded = None if cores is None else round(cores, 3)
    return LoadSample(round(at_s, 3), rounded, load.memory_bytes, load.processes, load.disk_bytes, load.gpus)


def summarised(samples: Iterable[LoadSample], every_s: float) -> LoadSummary:
    """Means over the samples that could tell, and peaks."""
    every = list(samples)
    cores = [one.cpu_cores for one in every if one.cpu_cores is not None]
    busy = [gpu.busy for one in every for gpu in one.gpus]
    return LoadSummary(
        samples=len(every),
        every_s=every_s,
        mean_cpu_cores=round(sum(cores) / len(cores), 3) if cores else None,
        peak_memory_bytes=max((x for one in every if (x := one.memory_bytes) is not None), default=None),
        peak_disk_bytes=max((x for one in every if (x := one.disk_bytes) is not None), default=None),
        gpus=max((len(one.gpus) for one in every), default=0),
        mean_gpu_busy=round(sum(busy) / len(busy), 4) if busy else None,
        peak_gpu_memory_bytes=max((gpu.memory_bytes for one in every for gpu in one.gpus), default=None),
    )
