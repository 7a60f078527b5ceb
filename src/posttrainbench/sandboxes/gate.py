"""The gate: a command waits behind it until the host has taken hold of its sandbox."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

SETUP_S = 120.0  # to build a sandbox; it takes milliseconds, but a node may be swapping or reading an image


def passed(output: int, gate_word: str) -> tuple[bool, bytes]:
    """Whether the sandbox said the gate's word in time, and what was said until then.

    What comes before the word is whoever builds the sandbox, complaining.
    """
    said = b""
    for chunk in chunks(output):
        said += chunk
        if said.endswith(gate_word.encode() + b"\n"):
            return True, said
    return False, said


def chunks(descriptor: int) -> Iterator[bytes]:
    """What can be read until the other side closes or the time to set up is over."""
    until_s = time.monotonic() + SETUP_S
    poll = select.poll()  # select knows 1024 descriptors only
    poll.register(descriptor, select.POLLIN)
    while (left_s := until_s - time.monotonic()) > 0:
        data = os.read(descriptor, 1 << 16) if poll.poll(left_s * 1000) else b""
        if not data:
            return
        yield data


def complaint(said: bytes) -> str:
    """The line of what was said that tells most: the first of an error, else the last."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return next(
        (line for line in lines if "rror" in line or "FATAL" in line), lines[-1] if lines else "no answer"
    )[:400]
