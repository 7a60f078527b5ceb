"""The sandbox for clusters that have Apptainer and nothing else. UNPROVEN: written from its documentation.

Apptainer could not be had where this was written: what we tell it is tested word by word, what it makes of
it is not. `isolation` runs the same trial command as for the others, so that `ptb doctor` shows what holds on
a machine that has it, and it says on every record that its authors never saw it work.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from posttrainbench.errors import SandboxUnavailable, SetupError
from posttrainbench.protocols import HOME, Mount, SandboxJob
from posttrainbench.record import Guarantee, Isolation
from posttrainbench.sandboxes.held import hold
from posttrainbench.sandboxes.launch import ENVIRONMENT_VARIABLES, GATE, check_mounts
from posttrainbench.sandboxes.limits import BARE, set_limits
from posttrainbench.sandboxes.probe import probe
from posttrainbench.sandboxes.process_namespace import ProcessNamespace, descendants
from posttrainbench.sandboxes.python_runtime import PACKAGE, python_runtime
from posttrainbench.sandboxes.supervision import Started, SupervisedProcess
from posttrainbench.sandboxes.watchdog import watchdog_for

IMAGE_VARIABLE = "PTB_APPTAINER_IMAGE"
INIT_S = 10.0
UNPROVEN = Guarantee("seen working", False, "unproven: from Apptainer's documentation, never run by us")


class Apptainer:
    """Runs a command in a container made from an image file, without root and without a daemon.

    Covered, if Apptainer does what its documentation says: the host's files but what the job mounts; the
    network; the host's processes; privileges; memory, processes and disk by control group or watchdog;
    outliving the deadline, the command, or the harness.

    Not covered: new user namespaces and odd system calls, which nothing filters here; /sys; the size of /tmp
    and /dev/shm, which the site's configuration sets; hiding this package, if the image holds it.
    """

    name = "apptainer"

    def isolation(self) -> Isolation:
        """Which guarantees hold here, found out by trying once per process.

        Raises:
            SandboxUnavailable: Apptainer or its image is missing; the text says what to do.
        """
        return _isolation(_program(), _image())

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> SupervisedProcess:
        """Start `job`; returns once its command runs.

        Raises:
            SetupError: a mount that is not there, or that Apptainer cannot be told of.
            SandboxUnavailable: Apptainer refused; the text holds what it said.
        """
        check_mounts(job)
        return SupervisedProcess(functools.partial(_begin, job, _program(), _image()), on_output)


def _program() -> str:
    found = shutil.which("apptainer")
    if found is None:
        raise SandboxUnavailable("Apptainer is not installed; `--sandbox bwrap` needs no root and no daemon")
    if os.getuid() == 0:
        raise SandboxUnavailable("Apptainer would let root be root inside: start as another user")
    return found


def _image() -> str:
    image = os.environ.get(IMAGE_VARIABLE, "")
    if not image or not Path(image).exists():
        raise SandboxUnavailable(f"{IMAGE_VARIABLE} names no image file; see docs/sandboxes.md")
    return image


@functools.cache
def _isolation(program: str, image: str) -> Isolation:
    def start(job: SandboxJob, on_output: Callable[[bytes], None]) -> SupervisedProcess:
        return SupervisedProcess(functools.partial(_begin, job, program, image), on_output)

    found = probe(Apptainer.name, start, os.getuid(), "a lifeline process kills it")
    return replace(found, guarantees=(*found.guarantees, UNPROVEN))


def arguments(job: SandboxJob, image: str, scratch: Path, gate_word: str) -> list[str]:
    """What Apptainer is told, after its name. `scratch`: a folder of the host for what is written to /tmp.

    Raises:
        SetupError: a mounted path that its way of naming mounts cannot hold.
    """
    options = [
        *("exec", "--containall", "--no-home", "--cleanenv", "--userns", "--no-privs", "--no-umask"),
        *("--net", "--network", "none", "--hostname", "sandbox"),
        *("--workdir", str(scratch), "--pwd", job.workdir),
        *(["--nv"] if job.gpus else []),
        *(word for mount in _mounts(job, scratch) for word in ("--bind", _bind(mount))),
    ]
    return [*options, image, "/bin/sh", "-c", GATE, "sh", gate_word, *job.argv]


def _mounts(job: SandboxJob, scratch: Path) -> Iterator[Mount]:
    if all(mount.inside != HOME for mount in job.mounts):
        yield Mount(scratch / "home", HOME, writable=True)
    yield from job.mounts
    if job.package:
        yield python_runtime().package


def _bind(mount: Mount) -> str:
    host = str(mount.host.absolute())
    if any(sign in host + mount.inside for sign in ":,\\"):
        raise SetupError(f"Apptainer cannot be told of {host}: the path holds a colon, comma or backslash")
    return f"{host}:{mount.inside}:{'rw' if mount.writable else 'ro'}"


def environment(job: SandboxJob) -> dict[str, str]:
    """Apptainer's own environment; what starts with its prefix it hands to the command, and nothing else."""
    inside = {**ENVIRONMENT_VARIABLES, **job.environment}
    if job.package:
        inside["PYTHONPATH"] = PACKAGE
    return {**BARE, **{f"APPTAINERENV_{name}": value for name, value in inside.items()}}


def _begin(job: SandboxJob, program: str, image: str) -> Started:
    """Build the container, set its limits while its command still waits, then let it run."""
    scratch = Path(tempfile.mkdtemp(prefix="ptb-apptainer-"))
    try:
        (scratch / "home").mkdir()
        gate_word = secrets.token_hex(16)
        held = hold([program, *arguments(job, image, scratch, gate_word)], environment(job))
        try:
            held.await_gate(gate_word)
            init_pid = _init_pid(held.launcher.pid)
            group = set_limits(init_pid, job.limits, use_cgroups=True)
            namespace = _Namespace(init_pid, held.lifeline, scratch)
            held.let_run()
        except BaseException:
            held.give_up()
            raise
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    watchdog = watchdog_for(namespace, job.limits, (*job.watched, scratch), group)
    return Started(held.launcher, held.output, namespace, group, watchdog)


class _Namespace(ProcessNamespace):
    """The container's processes, with what has to be let go when they are gone."""

    def __init__(self, init_pid: int, lifeline: int, scratch: Path) -> None:
        super().__init__(init_pid)
        self._lifeline, self._scratch = lifeline, scratch

    def close(self) -> None:
        super().close()
        os.close(self._lifeline)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _init_pid(launcher_pid: int) -> int:
    """The first process of the container's own process namespace, a descendant of what we started."""
    until = time.monotonic() + INIT_S
    while time.monotonic() < until:
        found = next((pid for pid in descendants(launcher_pid) if _number_inside(pid) == 1), None)
        if found is not None:
            return found
        time.sleep(0.01)
    raise SandboxUnavailable("the container has no process namespace of its own: this Apptainer forbids it")


def _number_inside(pid: int) -> int | None:
    """A process's number in the innermost namespace, or None when it is in none but ours."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return int(numbers[-1]) if len(numbers) > 1 else None
