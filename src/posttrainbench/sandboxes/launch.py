"""What bubblewrap is told: the file system, environment and rules of one sandbox, as its arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.errors import SetupError
from posttrainbench.protocols import HOME, SandboxJob
from posttrainbench.sandboxes.gpus import View
from posttrainbench.sandboxes.python_runtime import ENVIRONMENT, PACKAGE, PythonRuntime

USER_ID = 1000
ENVIRONMENT_VARIABLES = {
    "HOME": HOME,
    "PATH": f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/tmp",  # noqa: S108 - a path inside
    "USER": "agent",
}
FILES = {
    "/etc/passwd": f"agent:x:{USER_ID}:{USER_ID}::{HOME}:/bin/bash\n",
    "/etc/group": f"agent:x:{USER_ID}:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/resolv.conf": "",
}
# What programs need of the host's /etc. Never whole folders that may hold keys.
ETC = (
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/etc/os-release", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust"),
    *("/etc/ca-certificates", "/etc/crypto-policies", "/etc/mime.types", "/etc/protocols", "/etc/services"),
)
# How many processors and memory nodes there are: numerical libraries ask before they start threads.
PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
# Files of /proc that tell of the whole machine; opening them is refused.
MASKED = ("kcore", "keys", "key-users", "kmsg", "latency_stats", "sched_debug", "sysrq-trigger", "timer_list")
SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Started by root, the user inside owns the host's device files and could change their modes for everyone.
# In a mount namespace of our own we make them read-only first: bubblewrap keeps that, but cannot do it.
# Arguments: the devices, a word that ends them, then what to run.
GUARD_DEVICES = (
    *("unshare", "--mount", "--", "/bin/sh", "-ec"),
    'while [ "$1" != end ]; do mount --bind -o ro "$1" "$1"; shift; done; shift; exec "$@"',
    "sh",
)
GUARDED = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))

# Waits inside until the host has set the limits; when the host dies instead, its input ends and so does this.
# First argument: what to print when the sandbox stands.
GATE = 'echo "$1"; read -r _ || exit 1; shift; exec "$@" </dev/null'


@dataclass(frozen=True, slots=True)
class Arguments:
    """Bubblewrap's arguments, and the files it reads through open descriptors."""

    options: tuple[str, ...]  # these hold paths of the host: for bubblewrap's eyes only
    command: tuple[str, ...]  # paths inside only: the sandbox sees this line as its first process's
    descriptors: tuple[int, ...]  # the caller closes them once bubblewrap runs


class ArgumentList:
    """Arguments as they gather."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.descriptors: list[int] = []

    def add(self, *words: str | int | Path) -> None:
        self.words += map(str, words)

    def data(self, content: bytes) -> int:
        """A descriptor from which `content` can be read once: nothing to clean up on any disk."""
        descriptor = os.memfd_create("sandbox")
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.descriptors.append(descriptor)
        return descriptor

    def file(self, inside: str, content: str, mode: str = "0444") -> None:
        self.add("--perms", mode, "--file", self.data(content.encode()), inside)


def check_mounts(job: SandboxJob) -> None:
    """Raises SetupError for a mount that cannot be made."""
    for mount in job.mounts:
        if not mount.host.exists():
            raise SetupError(f"cannot show {mount.host} in the sandbox: it does not exist")
        if not mount.inside.startswith("/"):
            raise SetupError(
                f"cannot show {mount.host} in the sandbox at {mount.inside!r}: not an absolute path"
            )


def arguments(
    job: SandboxJob,
    runtime: PythonRuntime,
    gpus: View,
    filter_program: bytes | None,
    userns_off: bool,
    gate_word: str,
) -> Arguments:
    """All that bubblewrap is told of one sandbox."""
    gathered = ArgumentList()
    _isolate(gathered, userns_off)
    _show_system(gathered)
    _show_python(gathered, runtime, job.package)
    _give_memory_folders(gathered, job.limits)
    _show_mounts(gathered, job)
    _show_gpus(gathered, gpus)
    if not job.package:
        _hide(gathered, runtime)
    _close(gathered)
    for name, value in _environment(job, runtime, gpus):
        gathered.add("--setenv", name, value)
    if filter_program is not None:
        gathered.add("--seccomp", gathered.data(filter_program))
    gathered.add("--chdir", job.workdir)
    command = ("/bin/sh", "-c", GATE, "sh", gate_word, *job.argv)
    return Arguments(tuple(gathered.words), command, tuple(gathered.descriptors))


def _isolate(gathered: ArgumentList, userns_off: bool) -> None:
    gathered.add("--unshare-all", "--unshare-user", "--uid", USER_ID, "--gid", USER_ID)
    gathered.add(
        "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"
    )
    if userns_off:
        gathered.add("--disable-userns")


def _show_system(gathered: ArgumentList) -> None:
    gathered.add("--ro-bind", "/usr", "/usr")
    for inside in ("/etc", "/opt", "/home"):
        gathered.add("--perms", "0755", "--dir", inside)
    for name in SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            gathered.add("--symlink", path.readlink(), path)
        elif path.is_dir():
            gathered.add("--ro-bind", path, path)
    for name in (*ETC, *PROCESSORS):
        gathered.add("--ro-bind-try", name, name)
    for inside, content in FILES.items():
        gathered.file(inside, content)
    gathered.add("--proc", "/proc", "--dev", "/dev")
    for name in MASKED:
        if Path("/proc", name).exists():
            gathered.add("--ro-bind", "/dev/null", f"/proc/{name}")  # a device that may not be used as one


def _show_python(gathered: ArgumentList, runtime: PythonRuntime, package: bool) -> None:
    for mount in (*runtime.mounts, *([runtime.package] if package else [])):
        gathered.add("--ro-bind", mount.host.absolute(), mount.inside)
    for inside, content in runtime.files:
        gathered.file(inside, content, "0555" if content.startswith("#!") else "0444")
    for inside, target in runtime.links:
        gathered.add("--symlink", target, inside)


def _give_memory_folders(gathered: ArgumentList, limits: Limits) -> None:
    for inside, size_bytes in (("/dev/shm", limits.shm_bytes), ("/tmp", limits.tmp_bytes)):  # noqa: S108
        gathered.add("--perms", "1777", "--size", size_bytes, "--tmpfs", inside)
    gathered.add("--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp")  # noqa: S108


def _show_mounts(gathered: ArgumentList, job: SandboxJob) -> None:
    if all(mount.inside != HOME for mount in job.mounts):
        gathered.add("--perms", "0700", "--size", job.limits.tmp_bytes, "--tmpfs", HOME)
    for mount in job.mounts:
        gathered.add("--bind" if mount.writable else "--ro-bind", mount.host.absolute(), mount.inside)


def _show_gpus(gathered: ArgumentList, gpus: View) -> None:
    for mount in gpus.mounts:
        gathered.add("--dev-bind" if mount.writable else "--ro-bind", mount.host, mount.inside)
    for inside, target in gpus.links:
        gathered.add("--symlink", target, inside)


def _hide(gathered: ArgumentList, runtime: PythonRuntime) -> None:
    """Cover our own package wherever a folder that is shown would let it be seen."""
    for mount in runtime.hidden:
        if mount.host.is_dir():
            gathered.add("--perms", "0555", "--tmpfs", mount.inside, "--remount-ro", mount.inside)
        else:
            gathered.add("--ro-bind-data", gathered.data(b""), mount.inside)


def _close(gathered: ArgumentList) -> None:
    """Make read-only what bubblewrap leaves writable.

    Started by root, the user inside is the host's root to the kernel: without this it could set the host's
    sysctls through /proc/sys, core_pattern among them.
    """
    gathered.add("--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/")


def _environment(job: SandboxJob, runtime: PythonRuntime, gpus: View) -> Iterator[tuple[str, str]]:
    yield from ENVIRONMENT_VARIABLES.items()
    yield from gpus.environment
    folders = [*runtime.library_folders, *([gpus.library_folder] if gpus.library_folder else [])]
    if folders:
        yield "LD_LIBRARY_PATH", ":".join(folders)
    if job.package:
        yield "PYTHONPATH", PACKAGE
    yield from job.environment.items()
