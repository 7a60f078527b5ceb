"""Which NVIDIA GPUs this process sees, and how much of their memory is free; asked without touching them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

HEADROOM = 0.92  # of what is free: a server's weights and cache are not all that it allocates
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.free,memory.total", "--format=csv,noheader,nounits")
LOOK_S = 30.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver's tool tells of it."""

    index: str
    uuid: str
    free_mib: float
    total_mib: float


def seen_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA would show us; none where the driver's tool is missing or fails."""
    try:
        asked = subprocess.run(QUERY, capture_output=True, text=True, timeout=LOOK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = tuple(gpu for line in asked.stdout.splitlines() if (gpu := _gpu(line)) is not None)
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return gpus
    wanted = [name.strip() for name in chosen.split(",")]
    return tuple(gpu for gpu in gpus if any(gpu.index == w or (w and gpu.uuid.startswith(w)) for w in wanted))


def free_share(gpus: tuple[Gpu, ...]) -> float:
    """The share of a GPU's memory that a server may take, on the fullest of these."""
    return round(HEADROOM * min(gpu.free_mib / gpu.total_mib for gpu in gpus) - 0.005, 2)


def _gpu(line: str) -> Gpu | None:
    try:
        index, uuid, free, total = (word.strip() for word in line.split(","))
        return Gpu(index, uuid, float(free), float(total))
    except ValueError:  # "[N/A]", or a line about something else
        return None
