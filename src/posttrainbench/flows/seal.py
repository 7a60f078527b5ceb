"""Seal: list and hash all that the agent left, then leave weights out of the snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from posttrainbench.layout import FINAL_MODEL, AttemptLayout
from posttrainbench.record import FileFact, Sealed
from posttrainbench.stores.codec import to_line
from posttrainbench.stores.trees import remove_file, scan

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt")
KEPT_BYTES = 1_000_000  # weights up to this size stay: small files cost nothing and can be looked into


def seal(solved: AttemptLayout, attempt: AttemptLayout) -> Sealed:
    """Write the manifest of the workspace and home of `solved` into `attempt`, then prune weights.

    Pruning comes last, and only after the manifest is complete: a kill in between loses nothing.
    """
    digest = hashlib.sha256()
    count = total_bytes = 0
    prunable: list[FileFact] = []
    with attempt.manifest.open("w", encoding="utf-8") as file:
        for fact in sealed_facts(solved):
            line = to_line(fact)
            file.write(line)
            digest.update(line.encode())
            count, total_bytes = count + 1, total_bytes + fact.size_bytes
            if is_prunable(fact):
                prunable.append(fact)
    for fact in prunable:
        remove_file(solved.root, fact.path)
    return Sealed(count, total_bytes, digest.hexdigest(), len(prunable))


def sealed_facts(solved: AttemptLayout) -> Iterator[FileFact]:
    """Every entry, by its path from the attempt's folder: workspace/..., home/..."""
    for folder in (solved.workspace, solved.home):
        for fact in scan(folder):
            yield replace(fact, path=f"{folder.name}/{fact.path}")


def is_prunable(fact: FileFact) -> bool:
    """Weights that were hashed, outside the final model."""
    if fact.kind != "file" or fact.sha256 is None or fact.size_bytes <= KEPT_BYTES:
        return False
    return fact.path.endswith(WEIGHTS) and not fact.path.startswith(f"workspace/{FINAL_MODEL}/")
