"""Weights are left out of a snapshot; text that lies under their name is not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from posttrainbench.flows.seal import seal
from posttrainbench.layout import AttemptLayout

NUMBERS = random.Random(0).randbytes(2_000_000)
TEXT = b"A weaver in a story that nobody was to see keeps nine lanterns. " * 4
HEADER = {"w": {"dtype": "BF16", "shape": [1000, 1000], "data_offsets": [0, len(NUMBERS)]}}


def safetensors(header: dict[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + NUMBERS


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("optimizer.pt", NUMBERS, False),
        ("optimizer.pt", NUMBERS + TEXT + NUMBERS, True),
        ("model.safetensors", safetensors({f"layer.{n}.weight": HEADER["w"] for n in range(20)}), False),
        ("model.safetensors", safetensors({**HEADER, "__metadata__": {"format": "pt"}}), False),
        ("model.safetensors", safetensors({**HEADER, "__metadata__": {"note": TEXT.decode()}}), True),
        ("model.safetensors", safetensors({**HEADER, TEXT.decode(): HEADER["w"]}), True),
        ("data.bin", TEXT * 20_000, True),
    ],
)
def test_what_holds_text_stays(name: str, content: bytes, kept: bool, tmp_path: Path) -> None:
    attempt = AttemptLayout(tmp_path)
    attempt.workspace.mkdir()
    attempt.home.mkdir()
    (attempt.workspace / name).write_bytes(content)
    assert seal(attempt, attempt).left_out == (0 if kept else 1)
    assert (attempt.workspace / name).exists() is kept
