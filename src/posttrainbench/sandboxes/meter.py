"""What a running sandbox takes of the machine: read from outside, at the price of a few small files.

Covered: processes that ended, whose time their parents keep; GPUs of NVIDIA's, by the driver's own tool.
Not covered: a GPU that the sandbox shares with others, which shows as a whole.
"""

from __future__ import annotations

import contextlib
import csv
import shutil
import subprocess

from posttrainbench.budget import MIB
from posttrainbench.load import GpuLoad, SandboxLoad
from posttrainbench.sandboxes.cgroups import Group
from posttrainbench.sandboxes.gpus import TOOL
from posttrainbench.sandboxes.process_namespace import ProcessTree

MEMORY_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the sandbox
TOOL_S = 10.0
TOO_MANY = 2000  # processes; to look at each of a fork bomb's would take too long
_FIELDS = "utilization.gpu,memory.used,power.draw"


def read_load(tree: ProcessTree, group: Group | None, disk_bytes: int | None) -> SandboxLoad:
    """The load of a sandbox now, GPUs left out. `disk_bytes` is what its watchdog measured last."""
    count = tree.count()
    if count > TOO_MANY:
        return SandboxLoad(None, None, count, disk_bytes)
    cpu_s = sum(process.cpu_s for process in tree.processes())
    memory_bytes = _group_bytes(group)
    if memory_bytes is None:
        memory_bytes = tree.exact_memory_bytes() + sum(map(tree.folder_bytes, MEMORY_FOLDERS))
    return SandboxLoad(cpu_s, memory_bytes, count, disk_bytes)


def read_gpus(ids: tuple[str, ...]) -> tuple[GpuLoad, ...]:
    """The load of GPUs by their ids; nothing where the driver's tool is missing or does not answer."""
    tool = shutil.which(TOOL)
    if not ids or tool is None:
        return ()
    asked = [tool, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits", f"--id={','.join(ids)}"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=TOOL_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(told)


def parse_gpus(told: str) -> tuple[GpuLoad, ...]:
    """What the driver's tool said, a line for each GPU: percent busy, MiB, watts."""
    loads = []
    for row in csv.reader(told.splitlines(), skipinitialspace=True):
        with contextlib.suppress(ValueError, IndexError):
            loads.append(GpuLoad(float(row[0]) / 100, int(float(row[1]) * MIB), _power(row[2])))
    return tuple(loads)


def _power(word: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(word)
    return None  # some GPUs do not tell


def _group_bytes(group: Group | None) -> int | None:
    """The memory of a control group without cached files; None where none holds the memory."""
    if group is None or group.memory is None:
        return None
    names = ("total_rss", "total_shmem") if group.version == 1 else ("anon", "shmem")
    try:
        lines = (group.memory / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    words = (line.split() for line in lines)
    facts = {word[0]: int(word[1]) for word in words if len(word) == 2 and word[1].isdigit()}
    return sum(facts.get(name, 0) for name in names) if names[0] in facts else None
