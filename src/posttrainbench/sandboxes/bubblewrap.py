"""The sandbox that needs neither root nor a daemon: bubblewrap, on Linux."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import SandboxJob
from posttrainbench.record import Isolation
from posttrainbench.sandboxes.gate import chunks, passed
from posttrainbench.sandboxes.gpus import HERE, NvidiaDriver, View
from posttrainbench.sandboxes.launch import GUARD_DEVICES, GUARDED, Arguments, arguments, check_mounts
from posttrainbench.sandboxes.limits import BARE, set_limits
from posttrainbench.sandboxes.probe import MISSING, probe, why_it_failed
from posttrainbench.sandboxes.process_namespace import ProcessNamespace
from posttrainbench.sandboxes.python_runtime import PythonRuntime, python_runtime
from posttrainbench.sandboxes.seccomp import seccomp_program
from posttrainbench.sandboxes.supervision import Started, SupervisedProcess
from posttrainbench.sandboxes.watchdog import watchdog_for


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
    tried = subprocess.run([*guard, "true"], capture_output=True, check=False, env=BARE)
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
        group = set_limits(init_pid, job.limits, use_cgroups)
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
            env=BARE,
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


def _read_init_pid(launcher: subprocess.Popen[bytes], pipes: _Pipes) -> int:
    told = b""
    for chunk in chunks(pipes.info):
        told += chunk
        with contextlib.suppress(ValueError):
            return int(json.loads(told)["child-pid"])
    raise _failure(launcher, pipes, b"")


def _await_gate(launcher: subprocess.Popen[bytes], pipes: _Pipes, gate_word: str) -> None:
    """Wait until the sandbox stands. What comes before the gate's word is bubblewrap complaining."""
    stands, said = passed(pipes.output, gate_word)
    if not stands:
        raise _failure(launcher, pipes, said)


def _failure(launcher: subprocess.Popen[bytes], pipes: _Pipes, said: bytes) -> SandboxUnavailable:
    launcher.kill()
    launcher.wait()
    said += b"".join(chunks(pipes.output))
    return SandboxUnavailable(why_it_failed(said.decode(errors="replace").strip()))
