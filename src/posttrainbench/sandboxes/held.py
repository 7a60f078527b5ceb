"""A container that lives as long as we hold on to it: started through its lifeline, waiting at its gate."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.errors import SandboxUnavailable
from posttrainbench.sandboxes.gate import complaint, passed

LIFELINE = Path(__file__).with_name("container_lifeline.py")


@dataclass(frozen=True, slots=True)
class Held:
    """A container that is being built, and what connects us to it."""

    launcher: subprocess.Popen[bytes]
    output: int  # the end of its output that we read
    gate: int  # what it waits for, before the gate
    lifeline: int  # as long as this is open, the container may live

    def await_gate(self, gate_word: str) -> None:
        """Wait until the container stands.

        Raises:
            SandboxUnavailable: it does not; the text holds what whoever builds it said.
        """
        stands, said = passed(self.output, gate_word)
        if not stands:
            raise SandboxUnavailable(f"the container could not be built: {complaint(said)}")

    def let_run(self) -> None:
        """Open the gate."""
        os.write(self.gate, b"go\n")
        os.close(self.gate)

    def give_up(self) -> None:
        """Have a container that never passed its gate cleared away."""
        os.close(self.gate)
        os.close(self.lifeline)
        self.launcher.wait()
        os.close(self.output)


def hold(run: Sequence[str], environment: Mapping[str, str], remove: Sequence[str] = ()) -> Held:
    """Start the lifeline, and through it `run`, with `environment` and nothing else of ours.

    Args:
        remove: the command that takes the container away; without it, killing `run` does.

    Raises:
        SandboxUnavailable: there is no process to be had.
    """
    output, output_in = os.pipe()
    gate_out, gate = os.pipe()
    lifeline_out, lifeline = os.pipe()
    python = (sys.executable, "-I", "-S", str(LIFELINE), str(lifeline_out))
    try:
        launcher = subprocess.Popen(
            [*python, *remove, "--", *run],
            stdin=gate_out,
            stdout=output_in,
            stderr=output_in,
            pass_fds=[lifeline_out],
            env=environment,
            cwd="/",
            start_new_session=True,  # a Ctrl-C at the terminal is for us to handle
        )
    except OSError as error:
        for descriptor in (output, gate, lifeline):
            os.close(descriptor)
        raise SandboxUnavailable(f"{run[0]} could not be started: {error.strerror}") from error
    finally:
        for descriptor in (output_in, gate_out, lifeline_out):
            os.close(descriptor)
    return Held(launcher, output, gate, lifeline)
