"""Rooms: a sandbox with a workspace, and a way to run a command in it to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from posttrainbench.budget import MIB, Limits
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import WORKSPACE, Mount, Sandbox, SandboxEnd, SandboxJob, SandboxProcess
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.sandboxes.container import Container
from posttrainbench.sandboxes.unisolated import Unisolated

SMALL = Limits(
    memory_bytes=400 * MIB,
    pids=100,
    disk_bytes=20 * MIB,
    file_bytes=64 * MIB,
    open_files=256,
    shm_bytes=16 * MIB,
    tmp_bytes=16 * MIB,
)
PATIENCE_S = 30.0


@dataclass
class Ran:
    """A sandboxed command that came to its end."""

    end: SandboxEnd
    output: str


@dataclass
class Room:
    """A sandbox with a workspace, ready to run commands."""

    sandbox: Sandbox
    workspace: Path
    limits: Limits = SMALL
    processes: list[SandboxProcess] = field(default_factory=list)

    def job(self, *argv: str, **changes: object) -> SandboxJob:
        mounts = (Mount(self.workspace, WORKSPACE, writable=True), *changes.pop("mounts", ()))  # type: ignore[misc]
        return replace(SandboxJob(argv, WORKSPACE, self.limits, mounts), **changes)  # type: ignore[arg-type]

    def start(
        self, job: SandboxJob, on_output: Callable[[bytes], None] = lambda data: None
    ) -> SandboxProcess:
        process = self.sandbox.start(job, on_output)
        self.processes.append(process)
        return process

    def run(self, *argv: str, **changes: object) -> Ran:
        said: list[bytes] = []
        process = self.start(self.job(*argv, **changes), said.append)
        end = process.wait(PATIENCE_S)
        assert end is not None, f"still runs after {PATIENCE_S} s; so far it said {b''.join(said)[-1000:]!r}"
        return Ran(end, b"".join(said).decode(errors="replace"))


MEMBERS: dict[str, Callable[[], Sandbox]] = {
    "bwrap": Bubblewrap,
    "bwrap-watchdog": lambda: Bubblewrap(use_cgroups=False),
    "docker": Container,
    "none": Unisolated,
}


def ended_by_pids(room: Room, ran: Ran) -> bool:
    """Whether a command ended for want of processes.

    An engine's control group is gone with the container: of a quick end only the command tells the cause.
    """
    refused = "Resource temporarily unavailable" in ran.output
    return ran.end.limit == "pids" or (room.sandbox.name == "docker" and refused)


def open_room(member: str, folder: Path) -> Iterator[Room]:
    sandbox = MEMBERS[member]()
    try:
        sandbox.isolation()
    except SandboxUnavailable as missing:
        pytest.skip(str(missing))
    folder.mkdir()
    room = Room(sandbox, folder)
    yield room
    for process in room.processes:
        process.stop(0.0)
