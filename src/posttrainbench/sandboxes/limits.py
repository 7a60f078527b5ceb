"""Limits on a command that still waits at its gate: resource limits, and a control group if it can be had."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.sandboxes.cgroups import Group, open_group
from posttrainbench.sandboxes.process_namespace import children

BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # all that programs of the system get of our environment
BOMB_MARGIN = 2000  # processes by which a fork bomb may pass its limit before the watchdog sees it
KILLED_FIRST = "500"  # when the whole machine is out of memory, the kernel picks the sandbox before us


def set_limits(init_pid: int, limits: Limits, use_cgroups: bool) -> Group | None:
    """Limit what waits at the gate; all that it starts inherits this."""
    waiting = (init_pid, *children(init_pid))
    for pid in waiting:
        _set_rlimits(pid, limits)
    _favour(init_pid)
    group = _grouped(waiting, limits) if use_cgroups else None
    if group is None or group.pids is None:
        _cap_process_numbers(init_pid, limits.pids + BOMB_MARGIN)
    return group


def _favour(init_pid: int) -> None:
    """Let the first process run before all others inside, where we may: it runs only to end them.

    In a fork bomb it would wait its turn behind thousands before it could heed the kill.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(init_pid, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, init_pid, -20)


def _cap_process_numbers(init_pid: int, most: int) -> None:
    """Let the sandbox's process numbers end at `most`, and a fork bomb with them; for root, on Linux 6.14.

    Before that version, this setting was the whole host's. Others have RLIMIT_NPROC; root is exempt from it.
    """
    if os.getuid() != 0 or _kernel() < (6, 14):
        return
    write = f"echo {most} > /proc/sys/kernel/pid_max"
    enter = ["nsenter", "--target", str(init_pid), "--pid", "--", "/bin/sh", "-c", write]
    with contextlib.suppress(OSError):
        subprocess.run(enter, capture_output=True, check=False, env=BARE)


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(re.sub(r"\D.*", "", minor))


def _set_rlimits(pid: int, limits: Limits) -> None:
    for kind, limit in _rlimits(limits).items():
        _, hard = resource.prlimit(pid, kind)
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, kind, (value, value))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(KILLED_FIRST)


def _rlimits(limits: Limits) -> dict[int, int]:
    wanted = {
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    if _counts_by_namespace():
        wanted[resource.RLIMIT_NPROC] = limits.pids + BOMB_MARGIN
    return wanted


def _counts_by_namespace() -> bool:
    """Whether a limit on processes counts those of the sandbox alone: Linux 5.14 and later; root is exempt.

    Before, it counted all that our user runs anywhere on the host.
    """
    return os.getuid() != 0 and _kernel() >= (5, 14)


def _grouped(pids: tuple[int, ...], limits: Limits) -> Group | None:
    group = open_group(limits)
    if group is None:
        return None
    try:
        for pid in pids:
            group.add(pid)
    except OSError:  # we may make groups but not move processes into them
        group.remove(patience_s=0.0)
        return None
    return group
