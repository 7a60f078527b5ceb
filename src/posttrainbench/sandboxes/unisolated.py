"""No sandbox at all, for machines where none can work: only when asked for by name, and on the record."""

from __future__ import annotations

import functools
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import posttrainbench
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import HOME, Mount, SandboxJob
from posttrainbench.record import Guarantee, Isolation
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.sandboxes.launch import ENVIRONMENT_VARIABLES, check_mounts
from posttrainbench.sandboxes.marked_processes import MarkedProcesses
from posttrainbench.sandboxes.supervision import Started, SupervisedProcess
from posttrainbench.sandboxes.watchdog import watchdog_for

MARK = "PTB_SANDBOX"
NOT_HELD = (
    "read-only system",
    "no kernel settings",
    "private network",
    "private processes",
    "own user namespace",
    "unprivileged host user",
    "no capabilities",
    "no new privileges",
    "no new namespaces",
    "system call filter",
    "environment by allow-list",
    "memory limit",
    "process limit",
    "disk limit",
    "file size, open files and core limit",
    "dies as a whole",
    "dies with the harness",
)


class Unisolated:
    """Runs a command on the host, as this user, with all that this user may do.

    Covered: nothing against an adversary. By good will alone: the environment is set by the allow-list, the
    watchdog looks after memory, processes and disk, and what the command leaves behind is killed if it can be
    found.

    Not covered: everything else. Paths inside (in arguments and environment) are replaced by those of the
    host; a program that has /workspace written into it will not find it.
    """

    name = "none"

    def isolation(self) -> Isolation:
        """That nothing is promised."""
        nothing = tuple(Guarantee(name, False, "not isolated") for name in NOT_HELD)
        return Isolation(self.name, False, nothing)

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> SupervisedProcess:
        """Start `job` on the host; returns once its command runs.

        Raises:
            SetupError: a mount or a program that is not there.
        """
        check_mounts(job)
        return SupervisedProcess(functools.partial(_begin, job), on_output)


def _begin(job: SandboxJob) -> Started:
    mark = secrets.token_hex(16)
    output, output_in = os.pipe()
    try:
        launcher = subprocess.Popen(
            [on_host(word, job.mounts) for word in job.argv],
            stdin=subprocess.DEVNULL,
            stdout=output_in,
            stderr=output_in,
            env={**_environment(job), MARK: mark},
            cwd=on_host(job.workdir, job.mounts),
            start_new_session=True,
        )
    except OSError as error:
        os.close(output)
        raise SandboxUnavailable(f"cannot start {job.argv[0]!r}: {error.strerror}") from error
    finally:
        os.close(output_in)
    tree = MarkedProcesses(launcher.pid, f"{MARK}={mark}")
    watchdog = watchdog_for(tree, job.limits, job.watched, group=None)
    return Started(launcher, output, tree, None, watchdog, HERE.view(job.gpus).ids)


def on_host(text: str, mounts: Sequence[Mount]) -> str:
    """`text` with every path inside replaced by the path of the host that it stands for."""
    by_inside = {mount.inside.rstrip("/"): str(mount.host.absolute()) for mount in mounts}
    if not by_inside:
        return text
    longest_first = sorted(by_inside, key=len, reverse=True)
    pattern = rf"(?<![\w./-])({'|'.join(map(re.escape, longest_first))})(?![\w.-])"
    return re.sub(pattern, lambda match: by_inside[match[1]], text)


def _environment(job: SandboxJob) -> Mapping[str, str]:
    """The allow-list, with the host's paths. PATH starts with the folder of our own interpreter."""
    wanted = {
        **ENVIRONMENT_VARIABLES,
        "TMPDIR": tempfile.gettempdir(),
        **HERE.environment(job.gpus),
        **job.environment,
    }
    path = job.environment.get("PATH", ENVIRONMENT_VARIABLES["PATH"])
    wanted["PATH"] = f"{Path(sys.executable).parent}:{path}"
    if all(mount.inside != HOME for mount in job.mounts):
        wanted["HOME"] = job.workdir
    if job.package:
        wanted["PYTHONPATH"] = str(Path(posttrainbench.__file__).parent.parent)
    return {name: on_host(value, job.mounts) for name, value in wanted.items()}
