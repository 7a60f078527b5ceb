"""What stages left beside their outputs, by content: so that a record vouches for it too."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from posttrainbench.budget import MIB
from posttrainbench.layout import AttemptLayout, RunLayout
from posttrainbench.record import FileFact, Kept
from posttrainbench.stores.codec import to_line
from posttrainbench.stores.trees import open_regular, scan

# Under an attempt, what a record vouches for in another way, or what changes while a worker lives: the sealed
# workspace by its manifest, weights by their digest, outputs of stages by theirs.
_ELSEWHERE = ("workspace", "home", "prepared", "stages", "owner.json", "heartbeat", "manifest.jsonl", "logs")
_WEIGHTS = ".safetensors"


def kept(layout: RunLayout, attempts: Collection[AttemptLayout]) -> tuple[Kept, ...]:
    """Every other file and folder of some attempts, in order of their paths."""
    entries = [path for attempt in attempts for path in attempt.root.iterdir()]
    wanted = (path for path in entries if path.name not in _ELSEWHERE and not path.name.startswith("."))
    return tuple(kept_at(layout.root, path.relative_to(layout.root).as_posix()) for path in sorted(wanted))


def kept_at(root: Path, relative: str) -> Kept:
    """One file or folder of a run, by content.

    Raises:
        OSError: it is not there, or a link lies on the way.
    """
    digest = hashlib.sha256()
    count = total_bytes = 0
    for fact in _facts(root, relative):
        digest.update(to_line(fact).encode())
        count, total_bytes = count + 1, total_bytes + fact.size_bytes
    return Kept(relative, count, total_bytes, digest.hexdigest())


def _facts(root: Path, relative: str) -> Iterator[FileFact]:
    """Files by path, size and digest; how often a file is linked may change when a run is sent around."""
    if not (root / relative).is_dir():
        digest = hashlib.sha256()
        with open_regular(root, relative) as file:
            while chunk := file.read(MIB):
                digest.update(chunk)
            yield FileFact("", "file", file.tell(), digest.hexdigest())
        return
    for fact in scan(root, relative):
        if fact.kind == "file" and not fact.path.endswith(_WEIGHTS):
            yield FileFact(fact.path, "file", fact.size_bytes, fact.sha256)


def code_digest() -> str:
    """The sha256 over the modules of this package, as they lie on the disk, 64 hex digits."""
    folder = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(
            f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()
