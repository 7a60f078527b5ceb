"""The sandbox that needs neither root nor a daemon: bubblewrap, on Linux."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import resource
import secrets
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import SandboxJob
from posttrainbench.record import Isolation
from posttrainbench.sandboxes.cgroups import Group, open_group
from posttrainbench.sandboxes.gpus import HERE, NvidiaDriver, View
from posttrainbench.sandboxes.launch import GUARD_DEVICES, GUARDED, Arguments, arguments, check_mounts
from posttrainbench.sandboxes.probe import MISSING, probe, why_it_failed
from posttrainbench.sandboxes.process_namespace import ProcessNamespace, children
from posttrainbench.sandboxes.python_runtime import PythonRuntime, python_runtime
from posttrainbench.sandboxes.seccomp import seccomp_program
from posttrainbench.sandboxes.supervision import Started, SupervisedProcess
from posttrainbench.sandboxes.watchdog import watchdog_for

_BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # all that bubblewrap gets of our environment
SETUP_S = 60.0  # to build a sandbox; it takes some 20 ms, but a node may be swapping
BOMB_MARGIN = 2000  # processes by which a fork bomb may pass its limit before the watchdog sees it
KILLED_FIRST = "500"  # when the whole machine is out of memory, the kernel picks the sandbox before us


class Bubblewrap:
    """Runs a command with a system, a process table, a network and a user namespace of its own.

    Covered: reading or writing anything of the host but the read-only system, the interpreter with its
    packages and what the job mounts; the network, the host's loopback and abstract sockets; the host's
    processes, keyrings, terminals, kernel settings and logs; gaining privileges by setuid programs,
    capabilities or new namespaces; leaving setuid files on the host; memory, processes, disk, file sizes and
    open files beyond the limits; outliving the deadline, the command, or the harness.

    Not covered: bugs of the kernel and of the GPU driver; the time of the processor and of the disk, which
    are shared; side channels; names of host paths in /proc/self/mountinfo and in compiled packages (names,
    not contents); which kernel and hardware the host has; an interpreter that needs libraries outside /usr
    and its own folder (Nix, Homebrew). Where no control group is writable the watchdog reacts within a few
    hundred milliseconds, not at once; if it is root who has none, a fork bomb gets far in them before Linux
    6.14. Started by root, the user inside is root to the host's kernel, though without a capability and with
    nothing of the host writable: `isolation` says so; to start as another user avoids it.
    """

    name = "bwrap"

    def __init__(self, use_cgroups: bool = True, driver: NvidiaDriver = HERE) -> None:
        """Without `use_cgroups`, the watchdog holds memory and processes even where a group could."""
        self._use_cgroups, self._driver = use_cgroups, driver

    def isolation(self) -> Isolation:
        """Which guarantees hold here, found out by trying once per process.

        Raises:
            SandboxUnavailable: bubblewrap is missing or may not work here; the text says what to do.
        """
        return _isolation(self._use_cgroups)

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> SupervisedProcess:
        """Start `job`; returns once its command runs. The calling thread may end before the sandbox does.

        Raises:
            SetupError: a mount that is not there.
            SandboxUnavailable: bubblewrap refused; the text says what to do.
        """
        check_mounts(job)
        return SupervisedProcess(
            functools.partial(_begin, job, self._driver.view(job.gpus), self._use_cgroups), on_output
        )


@functools.cache
def _isolation(use_cgroups: bool) -> Isolation:
    return probe(Bubblewrap.name, Bubblewrap(use_cgroups).start, os.getuid(), "parent-death signal")


@functools.cache
def _runtime() -> PythonRuntime:
    return python_runtime()


@functools.cache
def _program() -> str:
    """Where bubblewrap lies; our own environment's programs are not asked."""
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(MISSING)
    return found


@functools.cache
def _can_disable_userns() -> bool:
    """Whether this bubblewrap knows how to forbid new user namespaces (0.8 and later), and may."""
    tried = [_program(), "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "true"]
    return subprocess.run(tried, capture_output=True, check=False, env={}).returncode == 0


@functools.cache
def _device_guard(gpus: View) -> tuple[str, ...]:
    """What to put before bubblewrap so that root's sandboxes leave the host's devices alone."""
    if os.getuid() != 0:
        return ()
    devices = (*GUARDED, *(str(mount.host.resolve()) for mount in gpus.mounts if mount.writable))
    guard = (*GUARD_DEVICES, *devices, "end")
    tried = subprocess.run([*guard, "true"], capture_output=True, check=False, env=_BARE)
    return guard if tried.returncode == 0 else ()


@dataclass(frozen=True, slots=True)
class _Pipes:
    """What connects us to a sandbox that is being built."""

    output: int
    gate: int
    info: int


def _begin(job: SandboxJob, gpus: View, use_cgroups: bool) -> Started:
    """Build the sandbox, set its limits while its command still waits, then let it run."""
    gate_word = secrets.token_hex(16)
    told = arguments(job, _runtime(), gpus, seccomp_program(), _can_disable_userns(), gate_word)
    launcher, pipes = _spawn(told, _device_guard(gpus))
    try:
        init_pid = _read_init_pid(launcher, pipes)
        _await_gate(launcher, pipes, gate_word)
        group = _set_limits(init_pid, job.limits, use_cgroups)
        namespace = ProcessNamespace(init_pid)
        os.write(pipes.gate, b"go\n")
    except BaseException:
        launcher.kill()
        launcher.wait()
        os.close(pipes.output)
        raise
    finally:
        os.close(pipes.gate)
        os.close(pipes.info)
    watchdog = watchdog_for(namespace, job.limits, job.watched, group)
    return Started(launcher, pipes.output, namespace, group, watchdog, gpus.ids)


def _spawn(told: Arguments, guard: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], _Pipes]:
    """Start bubblewrap with nothing of ours: no environment, no folder, no descriptor but those it needs."""
    output, output_in = os.pipe()
    gate_out, gate = os.pipe()
    info, info_in = os.pipe()
    options = _in_memory("\0".join((*told.options, "--info-fd", str(info_in))).encode() + b"\0")
    theirs = [output_in, gate_out, info_in, options, *told.descriptors]
    try:
        launcher = subprocess.Popen(
            [*guard, _program(), "--args", str(options), "--", *told.command],
            stdin=gate_out,
            stdout=output_in,
            stderr=output_in,
            pass_fds=[info_in, options, *told.descriptors],
            env=_BARE,
            cwd="/",
        )
    except OSError as error:
        theirs += [output, gate, info]
        raise SandboxUnavailable(f"bubblewrap could not be started: {error.strerror}") from error
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    return launcher, _Pipes(output, gate, info)


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("sandbox")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _chunks(descriptor: int) -> Iterator[bytes]:
    """What can be read until the other side closes or the time to set up is over."""
    until_s = time.monotonic() + SETUP_S
    while (left_s := until_s - time.monotonic()) > 0:
        poll = select.poll()  # select knows 1024 descriptors only
        poll.register(descriptor, select.POLLIN)
        data = os.read(descriptor, 1 << 16) if poll.poll(left_s * 1000) else b""
        if not data:
            return
        yield data


def _read_init_pid(launcher: subprocess.Popen[bytes], pipes: _Pipes) -> int:
    told = b""
    for chunk in _chunks(pipes.info):
        told += chunk
        with contextlib.suppress(ValueError):
            return int(json.loads(told)["child-pid"])
    raise _failure(launcher, pipes, b"")


def _await_gate(launcher: subprocess.Popen[bytes], pipes: _Pipes, gate_word: str) -> None:
    """Wait until the sandbox stands. What comes before the gate's word is bubblewrap complaining."""
    said = b""
    for chunk in _chunks(pipes.output):
        said += chunk
        if said.endswith(gate_word.encode() + b"\n"):
            return
    raise _failure(launcher, pipes, said)


def _failure(launcher: subprocess.Popen[bytes], pipes: _Pipes, said: bytes) -> SandboxUnavailable:
    launcher.kill()
    launcher.wait()
    said += b"".join(_chunks(pipes.output))
    return SandboxUnavailable(why_it_failed(said.decode(errors="replace").strip()))


def _set_limits(init_pid: int, limits: Limits, use_cgroups: bool) -> Group | None:
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
        subprocess.run(enter, capture_output=True, check=False, env=_BARE)


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
