"""The sandbox for machines where containers are the way: Docker's engine, or podman."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import posttrainbench
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import SandboxJob
from posttrainbench.record import Isolation
from posttrainbench.sandboxes.cgroups import CONTROLLERS, Group, parents_of
from posttrainbench.sandboxes.container_launch import OWN_PYTHON, command, run_options, user_id
from posttrainbench.sandboxes.held import hold
from posttrainbench.sandboxes.launch import check_mounts
from posttrainbench.sandboxes.probe import probe
from posttrainbench.sandboxes.process_namespace import ProcessNamespace
from posttrainbench.sandboxes.python_runtime import PythonRuntime, python_runtime
from posttrainbench.sandboxes.supervision import Started, SupervisedProcess
from posttrainbench.sandboxes.watchdog import watchdog_for

ENGINE_VARIABLE, IMAGE_VARIABLE = "PTB_CONTAINER_ENGINE", "PTB_CONTAINER_IMAGE"
ENGINES = ("docker", "podman")
REMOVE = ("rm", "--force", "--volumes")
ASK_S = 30.0
# What an engine's client may know of us: where its engine is.
_CLIENTS = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
_CLIENTS_PREFIXES = ("DOCKER_", "CONTAINER_", "CONTAINERS_")


class Container:
    """Runs a command in a container of its own, made from an image.

    Covered: as with bubblewrap, the host's files but what the job mounts, its network, processes, kernel
    settings; capabilities, setuid programs, new namespaces; memory, processes, disk, file sizes, open files;
    outliving the deadline, the command, or the harness. The user inside is one that nobody on the host is
    (root) or the one who started us.

    Not covered: what bubblewrap does not cover; the engine itself, whose socket is as good as root; what the
    image holds; /sys, which shows the host's hardware; terminals that a command makes for itself. Without a
    user namespace, a hole in the kernel's checks meets a user of the host. Whoever kills the harness and its
    lifeline in the same instant leaves a container running.
    """

    name = "docker"

    def __init__(self, engine: tuple[str, ...] | None = None, image: str | None = None) -> None:
        """The engine's command line and the image; from the settings when they are not given."""
        self._engine, self._image = engine, image

    @property
    def image(self) -> str:
        """The image that containers are made from."""
        return self._image or _image()

    def isolation(self) -> Isolation:
        """Which guarantees hold here, found out by trying once per process.

        Raises:
            SandboxUnavailable: no engine answers, or it has no image; the text says what to do.
        """
        return _isolation(self._chosen())

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> SupervisedProcess:
        """Start `job`; returns once its command runs.

        Raises:
            SetupError: a mount that is not there.
            SandboxUnavailable: the engine refused; the text says what it said.
        """
        check_mounts(job)
        return SupervisedProcess(functools.partial(_begin, job, self._chosen()), on_output)

    def _chosen(self) -> Chosen:
        return _chosen(self._engine or _engine(), self.image)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine that answers, with an image that it has."""

    engine: tuple[str, ...]
    image: str
    own_python: bool  # the image brings /opt/venv

    def ask(self, *words: str) -> str | None:
        """What the engine answers, or None when it refuses."""
        return _ask((*self.engine, *words))


def _engine() -> tuple[str, ...]:
    named = shlex.split(os.environ.get(ENGINE_VARIABLE, ""))
    if named:
        return tuple(named)
    found = next((name for name in ENGINES if shutil.which(name)), None)
    if found is None:
        raise SandboxUnavailable(
            f"neither {' nor '.join(ENGINES)} is installed; {ENGINE_VARIABLE} names another"
        )
    return (found,)


def _image() -> str:
    return os.environ.get(IMAGE_VARIABLE) or f"posttrainbench-agent:{posttrainbench.__version__}"


@functools.cache
def _chosen(engine: tuple[str, ...], image: str) -> Chosen:
    if shutil.which(engine[0]) is None:
        raise SandboxUnavailable(f"{engine[0]} is not installed; {ENGINE_VARIABLE} names a container engine")
    labels = _ask((*engine, "image", "inspect", "--format", "{{json .Config.Labels}}", image))
    if labels is not None:
        return Chosen(engine, image, (json.loads(labels) or {}).get(OWN_PYTHON) == "own")
    if _ask((*engine, "version")) is None:
        raise SandboxUnavailable(
            f"{engine[0]} does not answer: is its engine running, and may this user ask it?"
        )
    raise SandboxUnavailable(
        f"{engine[0]} has no image {image}: see docs/sandboxes.md, or name another in {IMAGE_VARIABLE}"
    )


def _ask(words: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=ASK_S, check=False, env=_clients_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _clients_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _CLIENTS or name.startswith(_CLIENTS_PREFIXES)
    }


@functools.cache
def _isolation(chosen: Chosen) -> Isolation:
    start = Container(chosen.engine, chosen.image).start
    return probe(Container.name, start, user_id(), "a lifeline process takes the container away")


@functools.cache
def _runtime(own_python: bool) -> PythonRuntime:
    """What to show of the host's Python: only our package, where the image brings its own."""
    whole = python_runtime()
    return PythonRuntime((), (), (), (), whole.package, ()) if own_python else whole


def _skeletons() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "posttrainbench" / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True, slots=True)
class ContainerGroup(Group):
    """The control group that an engine made; it is gone with the container, which is asked then."""

    chosen: Chosen
    name: str
    lifeline: int  # the pipe whose end ends the container; ours to close

    def memory_kills(self) -> int:
        """How many processes the kernel killed for want of memory, as far as can be told."""
        if self.memory is not None and self.memory.is_dir():
            return super(ContainerGroup, self).memory_kills()
        return int(self.chosen.ask("inspect", "--format", "{{.State.OOMKilled}}", self.name) == "true")

    def remove(self, patience_s: float = 1.0) -> None:  # noqa: ARG002 the engine has its own
        """Take the container away once its processes are gone."""
        self.chosen.ask(*REMOVE, self.name)
        os.close(self.lifeline)


def _begin(job: SandboxJob, chosen: Chosen) -> Started:
    """Build the container, take hold of its processes while its command still waits, then let it run."""
    name, gate_word = f"ptb-{secrets.token_hex(8)}", secrets.token_hex(16)
    _own(job)
    options = run_options(job, _runtime(chosen.own_python), _skeletons(), name)
    run = [*chosen.engine, "run", *options, chosen.image, *command(job, gate_word)]
    held = hold(run, _clients_environment(), [*chosen.engine, *REMOVE, name])
    try:
        held.await_gate(gate_word)
        init_pid = _init_pid(chosen, name)
        group = _group(init_pid, chosen, name, held.lifeline)
        namespace = ProcessNamespace(init_pid)
        held.let_run()
    except BaseException:
        held.give_up()
        raise
    watchdog = watchdog_for(namespace, job.limits, job.watched, group)
    return Started(held.launcher, held.output, namespace, group, watchdog)


def _own(job: SandboxJob) -> None:
    """Give what may be written to the user inside; only root needs to, and may."""
    if os.getuid() != 0:
        return
    for mount in job.mounts:
        if mount.writable or mount.host.is_socket():  # to speak through a socket is to write to it
            _give(mount.host, user_id())


def _give(path: Path, owner: int) -> None:
    """Change the owner of a tree, links themselves included, nothing outside it."""
    os.chown(path, owner, owner, follow_symlinks=False)
    if not path.is_dir() or path.is_symlink():
        return
    for _, folders, files, descriptor in os.fwalk(path):
        for name in (*folders, *files):
            os.chown(name, owner, owner, dir_fd=descriptor, follow_symlinks=False)


def _init_pid(chosen: Chosen, name: str) -> int:
    """The container's first process, as this host numbers it."""
    told = chosen.ask("inspect", "--format", "{{.State.Pid}}", name)
    if told is None or not told.isdigit() or not Path(f"/proc/{told}/cgroup").exists():
        raise SandboxUnavailable(
            "the container's processes are not on this host: the engine must run here, not in a VM"
        )
    return int(told)


def _group(init_pid: int, chosen: Chosen, name: str, lifeline: int) -> ContainerGroup:
    """The group that the engine put the container into; None for a controller that it does not use."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    groups = Path(f"/proc/{init_pid}/cgroup").read_text()
    found: dict[str, tuple[int, Path]] = {}
    for controller in CONTROLLERS:
        with contextlib.suppress(IndexError):
            version, folder = parents_of(controller, mountinfo, groups)[0]
            limit = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max",) * 2}[controller]
            if (folder / limit[version - 1]).exists():
                found[controller] = version, folder
    version = next((v for v, _ in found.values()), 2)
    memory, pids = (found[c][1] if c in found else None for c in CONTROLLERS)
    return ContainerGroup(version, memory, pids, chosen, name, lifeline)
