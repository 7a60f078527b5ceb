"""What a container engine is told: the file system, environment, rules and limits of one sandbox."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.digest import content_digest
from posttrainbench.protocols import HOME, Mount, SandboxJob
from posttrainbench.sandboxes.container_seccomp import seccomp_profile
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.sandboxes.launch import ENVIRONMENT_VARIABLES, FILES, USER_ID
from posttrainbench.sandboxes.python_runtime import ENVIRONMENT, PACKAGE, PythonRuntime

OWN_PYTHON = "posttrainbench.python"  # label of images that bring /opt/venv: the host's is not shown then
SECCOMP = "seccomp.json"  # in a skeleton
# Without a user namespace, the user inside is one of the host: root takes one that nobody is.
NOBODYS_ID = 1_900_000_000
# Engines set these, or their configuration does; the job's own are set again after.
SET_BY_ENGINES = (
    *("HOSTNAME", "container", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"),
)
# Waits inside until the host knows the container; when the host dies, its input ends and so does this.
# It stays the first process: the kernel shields that from signals, and its end ends all others.
# Output and errors go one way, or an engine would mix them up; only the shell's own word is silenced.
# First argument: what to print when the sandbox stands; second: the variables to drop.
GATE = 'echo "$1"; read -r _ || exit 1; unset $2; shift 2; exec 2>/dev/null; "$@" </dev/null 2>&1; exit $?'


def user_id() -> int:
    """Whose processes those of a container are, as the host sees it."""
    return os.getuid() or NOBODYS_ID


def skeleton(runtime: PythonRuntime, root: Path) -> Path:
    """A folder with what no engine can put into an image that it may not change: files, links, mount points.

    Made once for each content, whole or not at all; folders below `root` are named by digest.
    """
    texts = {**_files(), **dict(runtime.files), f"/{SECCOMP}": seccomp_profile()}
    points = sorted(m.inside for m in (*runtime.mounts, runtime.package) if m.inside.startswith(ENVIRONMENT))
    folder = root / content_digest({"texts": texts, "links": sorted(runtime.links), "points": points})[:16]
    if folder.is_dir():
        return folder
    half = root / f".{folder.name}.{os.getpid()}"
    for inside, text in texts.items():
        _write(half / inside[1:], text)
    for mount in runtime.mounts:
        if mount.inside.startswith(ENVIRONMENT):
            _point(half / mount.inside[1:], mount.host.is_dir())
    for inside, target in runtime.links:
        link = half / inside[1:]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    _write(half / "empty", "")
    try:
        half.rename(folder)
    except OSError:  # somebody else made it just now
        if not folder.is_dir():
            raise
    return folder


def _files() -> dict[str, str]:
    return {path: text.replace(str(USER_ID), str(user_id())) for path, text in FILES.items()}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o555 if text.startswith("#!") else 0o444)


def _point(path: Path, is_folder: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def run_options(job: SandboxJob, runtime: PythonRuntime, root: Path, name: str) -> list[str]:
    """The options of `run`, up to the image.

    Args:
        runtime: what to show of the host's Python; only the package, where the image brings its own.
        root: where skeletons are kept.
        name: the container's.
    """
    made = skeleton(runtime, root)
    return [
        *("--name", name, "--interactive", "--log-driver", "none", "--workdir", job.workdir),
        *_rules(made / SECCOMP),
        *_limits(job.limits),
        *_folders(job),
        *_shown(job, runtime, made),
        *(word for mount in job.mounts for word in _bind(mount)),
        *_gpus(job.gpus),
        *(
            word
            for variable, value in _environment(job, runtime)
            for word in ("--env", f"{variable}={value}")
        ),
        *("--entrypoint", "/bin/sh"),
    ]


def command(job: SandboxJob, gate_word: str) -> list[str]:
    """What comes after the image."""
    dropped = [
        name for name in (*SET_BY_ENGINES, *map(str.lower, SET_BY_ENGINES)) if name not in job.environment
    ]
    return ["-c", GATE, "sh", gate_word, " ".join(dropped), *job.argv]


def _rules(seccomp: Path) -> Iterator[str]:
    yield from ("--user", f"{user_id()}:{user_id()}", "--network", "none", "--ipc", "private")
    yield from ("--hostname", "sandbox", "--read-only")
    yield from ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    yield from ("--security-opt", f"seccomp={seccomp}")


def _limits(limits: Limits) -> Iterator[str]:
    memory = str(limits.memory_bytes)
    yield from ("--memory", memory, "--memory-swap", memory, "--pids-limit", str(limits.pids))
    yield from ("--oom-score-adj", "500", "--shm-size", str(limits.shm_bytes))
    for kind, most in (("fsize", limits.file_bytes), ("nofile", limits.open_files), ("core", 0)):
        yield from ("--ulimit", f"{kind}={most}:{most}")


def _folders(job: SandboxJob) -> Iterator[str]:
    """Folders in memory; those of the job lie over them."""
    for inside in ("/tmp", *([] if any(m.inside == HOME for m in job.mounts) else [HOME])):  # noqa: S108
        yield from ("--tmpfs", f"{inside}:rw,exec,nosuid,nodev,size={job.limits.tmp_bytes},mode=1777")
    yield from ("--tmpfs", "/run:ro,size=4k,mode=0755")


def _shown(job: SandboxJob, runtime: PythonRuntime, made: Path) -> Iterator[str]:
    """The host's Python, and files of /etc that say who the user inside is."""
    for path in _files():
        yield from _bind(Mount(made / path[1:], path))
    if runtime.links:
        yield from _bind(Mount(made / ENVIRONMENT[1:], ENVIRONMENT))
    for mount in (*runtime.mounts, *([runtime.package] if job.package else [])):
        yield from _bind(mount)
    if not job.package:
        yield from _hidden(runtime, made)


def _hidden(runtime: PythonRuntime, made: Path) -> Iterator[str]:
    """Cover our own package wherever a folder that is shown would let it be seen."""
    shown = tuple(mount.inside for mount in runtime.mounts)
    for mount in runtime.hidden:
        if not mount.inside.startswith(shown):
            continue
        if mount.host.is_dir():
            yield from ("--tmpfs", f"{mount.inside}:ro,size=4k,mode=0555")
        else:
            yield from _bind(Mount(made / "empty", mount.inside))


def _bind(mount: Mount) -> tuple[str, str]:
    fields = ["type=bind", f"source={mount.host.absolute()}", f"destination={mount.inside}"]
    return "--mount", _csv(fields if mount.writable else [*fields, "readonly"])


def _csv(fields: list[str]) -> str:
    """Engines read a mount as a line of CSV: a path may hold a comma."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _gpus(most: int) -> Iterator[str]:
    """The driver's files are the engine's to show: NVIDIA's toolkit does it for both engines."""
    gpus = HERE.gpus()[:most]
    if gpus:
        yield from ("--gpus", f'"device={",".join(gpu.uuid for gpu in gpus)}"')
        yield from ("--env", "NVIDIA_DRIVER_CAPABILITIES=compute,utility")


def _environment(job: SandboxJob, runtime: PythonRuntime) -> Iterator[tuple[str, str]]:
    yield from ENVIRONMENT_VARIABLES.items()
    if runtime.library_folders:
        yield "LD_LIBRARY_PATH", ":".join(runtime.library_folders)
    if job.package:
        yield "PYTHONPATH", PACKAGE
    yield from job.environment.items()
