"""How fast a model's weights are traced, and in how much memory: beside a plain read of the same files.

    python perf/lineage.py [--gib 8] [--pairs 5] [--folder DIR]

Makes two models of random bfloat16 weights, a base and a "final" one that moved a little, laid out like an
8 GB language model. Then, in alternating pairs in this process: (1) all tensors through our reader beside a
plain read of the same bytes, both from the page cache on the first shards; (2) the whole comparison of both
models beside a plain read of the files of both.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from posttrainbench.flows.trace import trace
from posttrainbench.stores.checkpoints import Checkpoint, open_trusted, weight_files

HIDDEN, INNER, VOCABULARY = 2560, 9728, 151_936
SHARD_LAYERS = 6
BUFFER_BYTES = 4 * 1024 * 1024


def shapes(gib: float) -> Iterator[tuple[str, list[tuple[str, tuple[int, ...]]]]]:
    """(file, its tensors) of a model of about that size."""
    layer = 2 * HIDDEN * 4096 + 2 * HIDDEN * 1024 + 3 * HIDDEN * INNER
    layers = max(1, round((gib * 2**30 / 2 - HIDDEN * VOCABULARY) / layer))
    files: list[list[tuple[str, tuple[int, ...]]]] = [[("model.embed_tokens.weight", (VOCABULARY, HIDDEN))]]
    for number in range(layers):
        if number % SHARD_LAYERS == 0:
            files.append([])
        stem = f"model.layers.{number}"
        files[-1] += [
            (f"{stem}.self_attn.q_proj.weight", (4096, HIDDEN)),
            (f"{stem}.self_attn.k_proj.weight", (1024, HIDDEN)),
            (f"{stem}.self_attn.v_proj.weight", (1024, HIDDEN)),
            (f"{stem}.self_attn.o_proj.weight", (HIDDEN, 4096)),
            (f"{stem}.mlp.gate_proj.weight", (INNER, HIDDEN)),
            (f"{stem}.mlp.up_proj.weight", (INNER, HIDDEN)),
            (f"{stem}.mlp.down_proj.weight", (HIDDEN, INNER)),
            (f"{stem}.input_layernorm.weight", (HIDDEN,)),
        ]
    for number, tensors in enumerate(files, 1):
        yield f"model-{number:05d}-of-{len(files):05d}.safetensors", tensors


def make(folder: Path, gib: float, moved: bool) -> None:
    """Random weights, a few megabytes at a time; `moved` changes the last bits of every other value."""
    folder.mkdir()
    pattern = np.random.default_rng(0).standard_normal(2**22, dtype=np.float32)
    bits = ((0.02 * pattern).view(np.uint32) >> 16).astype("<u2")
    if moved:
        bits[::2] ^= 1
    for file, tensors in shapes(gib):
        header, at = {}, 0
        for name, shape in tensors:
            size = 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (folder / file).open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            left = at // 2
            while left:
                out.write(bits[: min(left, bits.size)].tobytes())
                left -= min(left, bits.size)


def plain_read(files: list[Path]) -> int:
    """Bytes read, into one buffer, by the file system alone."""
    buffer, total = bytearray(BUFFER_BYTES), 0
    for path in files:
        with path.open("rb", buffering=0) as handle:
            while count := handle.readinto(buffer):
                total += count
    return total


def read_tensors(source: Checkpoint, names: set[str]) -> int:
    """Bytes of all tensors of the named files, as every digest and copy reads them."""
    return sum(len(chunk) for fact in source.tensors if fact.file in names for chunk in source.chunks(fact))


def took(do: Callable[[], int]) -> tuple[float, int]:
    begun = time.perf_counter()
    total = do()
    return time.perf_counter() - begun, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=8.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        base, final = Path(scratch, "base"), Path(scratch, "final")
        make(base, asked.gib, moved=False)
        make(final, asked.gib, moved=True)
        files = [final / name for name in weight_files(final)]
        total = sum(path.stat().st_size for path in files)
        print(f"model: {total / 1e9:.2f} GB in {len(files)} files")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        warm = files[:2]
        plain_read(warm)
        ratios = []
        with open_trusted(final) as source:
            names = {path.name for path in warm}
            for _ in range(asked.pairs):
                plain_s, size = took(lambda: plain_read(warm))
                ours_s, _ = took(lambda: read_tensors(source, names))
                ratios.append(plain_s / ours_s)
        print(
            f"reader, warm, {size / 1e9:.1f} GB: {statistics.median(ratios):.0%} of a plain read's speed "
            f"(median of {asked.pairs} pairs, {min(ratios):.0%} to {max(ratios):.0%}; the last pair at "
            f"{size / ours_s / 1e9:.1f} GB/s)"
        )
        both = [*files, *(base / name for name in weight_files(base))]
        ratios = []
        for pair in range(min(3, asked.pairs)):
            plain_s, _ = took(lambda: plain_read(both))
            begun = time.perf_counter()
            made = trace(final, base, (), f"{pair}" * 64, Path(scratch, "tensors.jsonl"))
            trace_s = time.perf_counter() - begun
            ratios.append(plain_s / trace_s)
            print(f"whole comparison {trace_s:.1f} s, plain read of both models {plain_s:.1f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"comparison: {statistics.median(ratios):.1f} x the speed of a plain read; {made.reason}")
        print(f"peak memory {peak / 1024:.0f} MiB, {(peak - before) / 1024:.0f} MiB above the start")


if __name__ == "__main__":
    main()
