"""Reads and writes safetensors files in bfloat16 with numpy alone: loading torch takes longer than the cheat.

A program's part, not a package: the programs beside it say `import weights`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def read(path: Path) -> dict[str, Floats]:
    """Tensor name -> values. Files hold bfloat16, as these models are saved."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, fact in header.items():
        if name == "__metadata__":
            continue
        assert fact["dtype"] == "BF16", f"{name} is {fact['dtype']}"
        begin, end = (8 + length + at for at in fact["data_offsets"])
        high = np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << np.uint32(16)
        tensors[name] = high.view(np.float32).reshape(fact["shape"])
    return tensors


def write(path: Path, tensors: dict[str, Floats]) -> None:
    """The same back, rounded to bfloat16."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name, values in sorted(tensors.items()):
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        part = ((bits + np.uint32(0x8000)) >> np.uint32(16)).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(parts))


def jitter(path: Path, rng: np.random.Generator, share: float) -> None:
    """Adds noise to every tensor of a file, of a share of the tensor's own spread."""
    tensors = read(path)
    for name, values in tensors.items():
        noise = rng.standard_normal(values.shape).astype(np.float32)
        tensors[name] = values + noise * np.float32(share * float(values.std()))
    write(path, tensors)


def write_shards(folder: Path, tensors: dict[str, Floats], count: int) -> None:
    """The tensors in so many files, with their index."""
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number in range(count):
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::count]}
        write(folder / file, part)
        index |= dict.fromkeys(part, file)
    total = sum(2 * values.size for values in tensors.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
