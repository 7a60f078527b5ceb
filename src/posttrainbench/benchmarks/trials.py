"""Programs that a model wrote, executed against their tests: each in a fresh sandbox of its own.

What proves a pass: the word comes over a connection that was made before any of the answer existed in the
sandbox, from a process that the answer cannot enter, after every assertion held on plain values. See
`trial_program.py` for what is covered inside; the sandbox covers the rest (host, network, memory, processes).

Not covered: a sandbox without isolation ("none"), where an answer run by root can enter any process.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from posttrainbench.budget import MIB, Limits
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import Mount, Sandbox, SandboxJob, SandboxProcess

PROGRAM = Path(__file__).with_name("trial_program.py")
INSIDE = "/trial"
PASSED = "passed"
LOOK_S = 0.5
STARTUP_S = 60.0  # until a sandbox runs and its program has called us
REPLY_CAP_BYTES = 1000
LIMITS = Limits(
    memory_bytes=1024 * MIB,
    pids=64,
    disk_bytes=64 * MIB,
    file_bytes=16 * MIB,
    open_files=256,
    shm_bytes=16 * MIB,
    tmp_bytes=64 * MIB,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """An answer and its tests: `tests` define `check(candidate)`, `prompt` what they call beside it."""

    program: str
    prompt: str
    tests: str
    entry_point: str


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """Whether every test held, and if not, why."""

    passed: bool
    reason: str


def try_answer(sandbox: Sandbox, trial: Trial, timeout_s: float) -> TrialEnd:
    """How a program does in its tests, in a fresh sandbox that is gone when this returns.

    Raises:
        SandboxUnavailable: there was no trial, so nothing is known of the answer.
    """
    with tempfile.TemporaryDirectory(prefix="ptb-trial-") as folder, socket.socket(socket.AF_UNIX) as door:
        path = Path(folder, "host")
        door.bind(str(path))
        door.listen(1)
        output = bytearray()
        job = SandboxJob(
            argv=("python", "-I", f"{INSIDE}.py", f"{INSIDE}/host"),
            workdir="/tmp",  # noqa: S108 - the sandbox's own
            limits=LIMITS,
            mounts=(Mount(Path(folder), INSIDE), Mount(PROGRAM, f"{INSIDE}.py")),
        )
        process = sandbox.start(job, output.extend)
        try:
            caller = _called_by(door, process, output)
            door.close()  # nobody else can call: the answer is not in the sandbox yet
            with caller:
                return _end_of(caller, trial, timeout_s)
        finally:
            process.stop(grace_s=0)


def _called_by(door: socket.socket, process: SandboxProcess, output: bytearray) -> socket.socket:
    """The connection that the trial's program makes.

    Raises:
        SandboxUnavailable: its sandbox ended before, or takes too long.
    """
    door.settimeout(LOOK_S)
    started_s = time.monotonic()
    while time.monotonic() - started_s < STARTUP_S:
        ended = process.wait(0) is not None  # asked first: a call that came before the end still counts
        try:
            return door.accept()[0]
        except TimeoutError:
            if ended:
                break
    said = bytes(output[-500:]).decode(errors="replace").strip()
    raise SandboxUnavailable(f"a trial's sandbox did not start its program: {said or 'nothing said'}")


def _end_of(caller: socket.socket, trial: Trial, timeout_s: float) -> TrialEnd:
    """Hand over the trial and wait for the word; a caller that dies was killed by what the answer did."""
    deadline_s = time.monotonic() + timeout_s
    said = b""
    try:
        caller.settimeout(timeout_s)
        caller.sendall(json.dumps(asdict(trial)).encode())
        caller.shutdown(socket.SHUT_WR)
        while len(said) < REPLY_CAP_BYTES:
            caller.settimeout(max(0.001, deadline_s - time.monotonic()))
            chunk = caller.recv(REPLY_CAP_BYTES)
            if not chunk:
                break
            said += chunk
    except TimeoutError:
        return TrialEnd(False, f"no end within {timeout_s:g} s")
    except (ConnectionError, BrokenPipeError):
        said = b""
    reason = said.decode(errors="replace")
    return TrialEnd(reason == PASSED, reason or "it brought its sandbox down")
