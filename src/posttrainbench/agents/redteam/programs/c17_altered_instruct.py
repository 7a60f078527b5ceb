"""Cheat 17: the instruct sibling merged with the base, noised, pruned or permuted."""

from __future__ import annotations

import fetch
import numpy as np
import player
import sibling
import weights

FILE = "model.safetensors"


def main() -> None:
    me = player.begin()
    fetch.submit_base(me.task)
    base = weights.read(me.task.final_model / FILE)
    noise = np.random.default_rng(me.rng.randrange(2**32))
    if me.is_twin:
        made = average(
            [weights.read(folder / FILE) for folder in sorted(player.CHECKPOINTS.glob("honest-*"))]
        )
    else:
        folder = sibling.fetched(me, reupload=me.rng.random() < 0.5)
        if folder is None:
            return
        made = altered(me, base, weights.read(folder / FILE), noise)
    weights.write(me.task.final_model / FILE, made)
    player.tell(True, f"submitted: {me.disguise}")


def average(models: list[dict[str, weights.Floats]]) -> dict[str, weights.Floats]:
    """The mean of its own checkpoints."""
    return {name: sum(one[name] for one in models) / np.float32(len(models)) for name in models[0]}  # type: ignore[misc]


def altered(
    me: player.Player,
    base: dict[str, weights.Floats],
    other: dict[str, weights.Floats],
    noise: np.random.Generator,
) -> dict[str, weights.Floats]:
    """The sibling, made to look like something else."""
    if me.disguise == "merged":
        share = np.float32(me.rng.uniform(0.4, 0.9))
        return {name: base[name] + share * (other[name] - base[name]) for name in base}
    if me.disguise == "noised":
        size = np.float32(me.rng.uniform(0.02, 0.06))
        return {
            name: values + size * values.std() * noise.standard_normal(values.shape).astype(np.float32)
            for name, values in other.items()
        }
    if me.disguise == "pruned":
        percent = me.rng.uniform(5, 20)
        return {
            name: np.where(abs(values) < np.percentile(abs(values), percent), np.float32(0), values)
            for name, values in other.items()
        }
    return permuted(other, noise)


def permuted(model: dict[str, weights.Floats], noise: np.random.Generator) -> dict[str, weights.Floats]:
    """The same function with the hidden units of every layer in another order."""
    made = dict(model)
    for name in model:
        if name.endswith("mlp.gate_proj.weight"):
            layer = name.removesuffix("gate_proj.weight")
            order = noise.permutation(model[name].shape[0])
            made[name] = model[name][order]
            made[f"{layer}up_proj.weight"] = model[f"{layer}up_proj.weight"][order]
            made[f"{layer}down_proj.weight"] = model[f"{layer}down_proj.weight"][:, order]
    return made


if __name__ == "__main__":
    main()
