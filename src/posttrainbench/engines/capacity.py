"""How much this machine carries: rows decoded side by side, columns remembered, threads."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS_ON_CPU = 128  # beyond it, a step slows down by as much as more rows save: docs/performance.md
ROWS_ON_GPU = 256
SHARE_OF_FREE_MEMORY = 0.5  # for what attention remembers; the rest is for a step's own arrays
TOKENS_PER_FORWARD_ON_CPU = 2048  # beyond it, a layer's arrays leave the cache: a tenth slower
TOKENS_PER_FORWARD_ON_GPU = 65536
SMALL_MODEL_PARAMETERS = 20_000_000  # below it, threads wait for one another longer than they work


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an engine may have in hand at once."""

    rows: int
    columns: int  # tokens remembered over all rows together
    forward_tokens: int  # tokens of prompts that one forward pass may read


def capacity_of(model: Any, device: str) -> Capacity:
    """What fits beside a loaded model."""
    import torch

    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_memory_bytes()
    columns = int(free * SHARE_OF_FREE_MEMORY / _bytes_per_column(model))
    if device == "cuda":
        return Capacity(ROWS_ON_GPU, columns, TOKENS_PER_FORWARD_ON_GPU)
    return Capacity(ROWS_ON_CPU, columns, TOKENS_PER_FORWARD_ON_CPU)


def threads_for(model: Any) -> int:
    """How many CPU threads a model is worth: one when it is small, else one per CPU that is ours."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL_MODEL_PARAMETERS:
        return 1
    return len(os.sched_getaffinity(0))


def free_memory_bytes() -> int:
    """Memory that we may still take: the least of the machine's, a control group's and our own."""
    bounds = [_meminfo_bytes("MemAvailable"), _control_group_bytes(), _address_space_bytes()]
    return max(0, min(bound for bound in bounds if bound is not None))


def _bytes_per_column(model: Any) -> int:
    """Bytes of keys and values per token of one row."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def _meminfo_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return next((int(kib) * 1024 for kib in found), None)


def _control_group_bytes() -> int | None:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return None
    return int(limit) - used if limit.isdigit() else None


def _address_space_bytes() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return limit - pages * resource.getpagesize()
