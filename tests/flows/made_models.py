"""Small model folders made by hand: the smallest things that admission takes for a model."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

Raw = tuple[str, tuple[int, ...], bytes]  # dtype, shape, little-endian bytes

ROWS, WIDTH = 12, 4
WORDS = {"<end>": 0, "<turn>": 1, **{letter: 2 + number for number, letter in enumerate("abcdefghij")}}
ADDED = [
    {"id": 0, "content": "<end>", "special": True},
    {"id": 1, "content": "<turn>", "special": True},
]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def values(shape: tuple[int, ...], seed: int, dtype: str = "BF16") -> Raw:
    """Random normal values."""
    return encoded(
        np.random.default_rng(seed).standard_normal(math.prod(shape), dtype=np.float32), shape, dtype
    )


def encoded(numbers: np.ndarray, shape: tuple[int, ...], dtype: str) -> Raw:
    """Values as a tensor of a dtype; bf16 by cutting float32 off."""
    flat = np.ascontiguousarray(numbers, dtype=np.float32).ravel()
    if dtype == "BF16":
        return dtype, shape, (flat.view(np.uint32) >> 16).astype("<u2").tobytes()
    return dtype, shape, flat.astype({"F16": "<f2", "F32": "<f4"}[dtype]).tobytes()


def tensors(seed: int = 0, rows: int = ROWS, dtype: str = "BF16", head: bool = False) -> dict[str, Raw]:
    """A model's tensors; with `head` the output layer is its own."""
    made = {
        "model.embed_tokens.weight": values((rows, WIDTH), seed, dtype),
        "model.layers.0.mlp.up_proj.weight": values((WIDTH, WIDTH), seed + 1, dtype),
        "model.norm.weight": values((WIDTH,), seed + 2, dtype),
    }
    if head:
        made["lm_head.weight"] = values((rows, WIDTH), seed + 3, dtype)
    return made


def header_of(held: Mapping[str, Raw]) -> dict[str, object]:
    header: dict[str, object] = {}
    at = 0
    for name, (dtype, shape, raw) in held.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    return header


def write_raw(path: Path, header: bytes, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def write_weights(path: Path, held: Mapping[str, Raw]) -> None:
    write_raw(path, json.dumps(header_of(held)).encode(), b"".join(raw for _, _, raw in held.values()))


def config(**changes: object) -> dict[str, object]:
    made: dict[str, object] = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": ROWS,
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "dtype": "bfloat16",
        "eos_token_id": 0,
    }
    return {**made, **changes}


def tokenizer(*more: dict[str, object]) -> dict[str, object]:
    return {
        "version": "1.0",
        "added_tokens": [*ADDED, *more],
        "model": {"type": "BPE", "vocab": WORDS, "merges": []},
    }


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_model(folder: Path, held: Mapping[str, Raw] | None = None, **changes: object) -> Path:
    """A whole model folder; returns it."""
    write_weights(folder / "model.safetensors", tensors() if held is None else held)
    write_json(folder / "config.json", config(**changes))
    write_json(folder / "generation_config.json", {"eos_token_id": 0, "do_sample": False})
    write_json(folder / "tokenizer.json", tokenizer())
    write_json(folder / "tokenizer_config.json", {"eos_token": "<end>", "chat_template": "of the folder"})
    return folder


def write_shards(folder: Path, held: Mapping[str, Raw], index: bool = True) -> None:
    """One tensor a shard."""
    total = len(held)
    names = {name: f"model-{number:05d}-of-{total:05d}.safetensors" for number, name in enumerate(held, 1)}
    for name, file in names.items():
        write_weights(folder / file, {name: held[name]})
    if index:
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": names})
