"""Seal: list and hash all that the agent left, then leave weights out of the snapshot.

Covered: text under a weights file's name, or among its bytes: such a file stays, so that audits can read it.
Not covered: text that is stored as numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from posttrainbench.layout import FINAL_MODEL, AttemptLayout
from posttrainbench.record import FileFact, Sealed
from posttrainbench.stores.codec import to_line
from posttrainbench.stores.trees import open_regular, remove_file, scan

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt")
# Numbers do not come in such runs of letters; names of tensors are shorter, or stand in a header.
_TEXT_BYTES = 200
_MARKED = bytes(0x41 if 0x20 <= byte < 0x7F or byte in b"\t\r\n" else 0 for byte in range(256))
_HEADER_BYTES = 100_000_000
_CHUNK_BYTES = 8 * 1024**2
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
    pruned = [fact for fact in prunable if not _holds_text(solved.root, fact.path)]
    for fact in pruned:
        remove_file(solved.root, fact.path)
    return Sealed(count, total_bytes, digest.hexdigest(), len(pruned))


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


def _holds_text(root: Path, path: str) -> bool:
    """Whether there is text beside the numbers of a weights file."""
    with open_regular(root, path) as file:
        file.seek(_header_end(file))
        before = b""
        while chunk := file.read(_CHUNK_BYTES):
            # Marking every byte takes a tenth of the time of a regular expression.
            if b"A" * _TEXT_BYTES in (before + chunk).translate(_MARKED):
                return True
            before = chunk[-_TEXT_BYTES:]
    return False


def _header_end(file: BinaryIO) -> int:
    """Where the tensors of a safetensors file begin whose header names tensors and little else; else 0."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= _HEADER_BYTES:
        return 0
    try:
        header = json.loads(file.read(length))
        told = json.dumps([header.pop("__metadata__", None), *header])
        facts = all(set(fact) == {"dtype", "shape", "data_offsets"} for fact in header.values())
    except (ValueError, AttributeError, TypeError, RecursionError):
        return 0
    return 8 + length if facts and not any(len(word) > 200 for word in told.split('"')) else 0
