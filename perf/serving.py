"""Starts scripted servers for a measurement, each in a process of its own; they end with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PROGRAM = Path(__file__).parent / "llm_server.py"


@contextmanager
def serving(kind: str, speed: float) -> Iterator[str]:
    """The base URL of a scripted server, while open."""
    argv = [sys.executable, str(PROGRAM), kind, "--speed", str(speed)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()  # closes its standard input, and it ends


def stats(url: str) -> dict[str, Any]:
    """What a scripted server was asked since the last time."""
    told: dict[str, Any] = httpx.get(url.replace("/v1", "/stats"), timeout=30).json()
    return told
