"""Low-rank adapters (PEFT's LoRA folders) of our own: what each adds to a base model's tensors.

Covered: plain LoRA on linear layers and embeddings, with or without rank-stabilised scaling.
Not covered: DoRA, LoHa and other kinds, per-layer ranks in patterns; those are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from posttrainbench.auditing.weight_files import TensorFact
from posttrainbench.errors import Refused
from posttrainbench.stores.checkpoints import Checkpoint, extent

Floats = npt.NDArray[np.float32]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KINDS = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and no whole model."""
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


class Adapter:
    """An open adapter."""

    def __init__(self, weights: Checkpoint, scale: float) -> None:
        self._weights, self._scale = weights, scale
        self._facts = {fact.name: fact for fact in weights.tensors}

    def has(self, tensor: str) -> bool:
        """Whether it changes the base model's tensor of that name."""
        return self._factors(tensor) is not None

    def rows(self, tensor: str, first: int, count: int) -> Floats:
        """What it adds to `count` rows of a tensor from row `first` on, [count, columns]."""
        factors = self._factors(tensor)
        assert factors is not None
        down, up = factors
        if down.name.endswith("lora_embedding_A"):  # stored the other way around: A is [rank, rows]
            left = self._whole(down).T[first : first + count]
            return np.asarray(self._scale * (left @ self._whole(up).T), dtype=np.float32)
        return np.asarray(
            self._scale * (self._weights.rows(up, first, count) @ self._whole(down)), np.float32
        )

    def _whole(self, fact: TensorFact) -> Floats:
        return self._weights.rows(fact, 0, extent(fact)[0])

    def _factors(self, tensor: str) -> tuple[TensorFact, TensorFact] | None:
        stem = _PREFIX + tensor.removesuffix(".weight")
        for down, up in _KINDS:
            if stem + down in self._facts and stem + up in self._facts:
                return self._facts[stem + down], self._facts[stem + up]
        return None


@contextmanager
def open_adapter(folder: Path) -> Iterator[Adapter]:
    """The adapter in a folder of our own.

    Raises:
        Refused: it is of a kind that is not covered.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("rank_pattern"):
        raise Refused(f"{folder.name} is no plain LoRA adapter; convert it to a whole model")
    rank = config["r"]
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    with (folder / WEIGHTS).open("rb") as handle:
        yield Adapter(Checkpoint({WEIGHTS: handle}), scale)
