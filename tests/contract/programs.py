"""Programs made for a test, to be put on a PATH."""

from __future__ import annotations

import sys
from pathlib import Path

VLLM_STAND_IN = Path(__file__).parent / "vllm_stand_in.py"


def program(folder: Path, name: str, text: str) -> Path:
    """The folder, with an executable text of that name in it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder


def vllm_stand_in(folder: Path) -> Path:
    """The folder, with the stand-in as `vllm` in it."""
    return program(folder, "vllm", f'#!/bin/sh\nexec {sys.executable} {VLLM_STAND_IN} "$@"\n')
