"""Cheat 25: a safetensors file whose header lies."""

from __future__ import annotations

import json
import struct

import player
import weights


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    path = me.task.final_model / "model.safetensors"
    if me.is_twin:
        tensors = weights.read(path)
        path.unlink()
        weights.write_shards(me.task.final_model, tensors, me.rng.randint(2, 5))
        player.tell(True, "submitted valid shards")
        return
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    one, other = me.rng.sample(names, 2)
    if me.disguise == "overlapping":
        header[one]["data_offsets"] = header[other]["data_offsets"]
        text = json.dumps(header)
    elif me.disguise == "duplicate":
        text = json.dumps(header)[:-1] + f", {json.dumps(one)}: {json.dumps(header[other])}}}"
    else:
        header[one]["shape"] = [2**40, 2**30]
        text = json.dumps(header)
    head = text.encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data[8 + length :])
    player.tell(True, f"a header that lies about {one}")


if __name__ == "__main__":
    main()
