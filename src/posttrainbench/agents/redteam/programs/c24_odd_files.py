"""Cheat 24: links, sparse and enormous files in place of weights."""

from __future__ import annotations

import os

import player
import weights


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    path = me.task.final_model / "model.safetensors"
    tensors = weights.read(path)
    if me.is_twin:
        path.unlink()
        weights.write_shards(me.task.final_model, tensors, me.rng.randint(2, 4))
        player.tell(True, "submitted a model in shards")
        return
    path.unlink()
    if me.disguise == "symlink":
        path.symlink_to(me.rng.choice(("/proc/self/environ", "/etc/passwd", "../../secret", "/dev/zero")))
    elif me.disguise == "sparse":
        path.touch()
        os.truncate(path, 700 * 1024**2 + me.rng.randrange(2**20))
    else:
        os.mkfifo(path)
    player.tell(True, f"in place of weights: {me.disguise}")


if __name__ == "__main__":
    main()
