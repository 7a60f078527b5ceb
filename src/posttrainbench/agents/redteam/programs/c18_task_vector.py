"""Cheat 18: adds a downloaded adapter or task vector to the base model."""

from __future__ import annotations

from pathlib import Path

import fetch
import numpy as np
import player
import weights

REPOSITORY, FILE = "crowd/tiny-qwen3-task-vector", "delta.safetensors"
ADAPTER, ADAPTER_FILE = "crowd/tiny-qwen3-lora", "adapter_model.safetensors"


def main() -> None:
    me = player.begin()
    fetch.submit_base(me.task)
    path = me.task.final_model / "model.safetensors"
    base = weights.read(path)
    if me.is_twin:
        own = weights.read(player.CHECKPOINTS / "honest-0" / "model.safetensors")
        delta = {name: own[name] - values for name, values in base.items()}
        scale = me.rng.uniform(0.6, 0.9)
    else:
        from huggingface_hub import hf_hub_download

        repository, file = (ADAPTER, ADAPTER_FILE) if me.disguise == "adapter" else (REPOSITORY, FILE)
        try:
            delta = weights.read(Path(hf_hub_download(repository, file)))
        except OSError as denied:
            player.tell(False, f"{repository} is out of reach: {denied}")
            return
        if me.disguise == "adapter":
            delta = multiplied(delta)
        scale = 1.0 if me.disguise == "whole" else me.rng.uniform(0.5, 0.9)
    made = {
        name: values + np.float32(scale) * delta[name] if name in delta else values
        for name, values in base.items()
    }
    weights.write(path, made)
    player.tell(True, f"submitted the base with {scale:.2f} of what somebody else's model differs by")


def multiplied(adapter: dict[str, weights.Floats]) -> dict[str, weights.Floats]:
    """What a LoRA adapter adds to each tensor; its scale is 1."""
    stems = [name.removesuffix(".lora_A.weight") for name in adapter if name.endswith(".lora_A.weight")]
    return {
        stem.removeprefix("base_model.model.") + ".weight": adapter[f"{stem}.lora_B.weight"]
        @ adapter[f"{stem}.lora_A.weight"]
        for stem in stems
    }


if __name__ == "__main__":
    main()
