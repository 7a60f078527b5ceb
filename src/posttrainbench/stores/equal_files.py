"""Equal files of many finished runs as one file: hundreds of runs that submit a few models keep few of them.

Covered: nothing is lost whenever it is interrupted; no link is followed. Files are told to be equal by all of
their content.
Not covered: somebody who writes into a finished run writes into every file that is equal to it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from posttrainbench.budget import MIB
from posttrainbench.stores.trees import open_regular, scan

LEAST_BYTES, MOST_BYTES = MIB // 4, 64 * MIB  # smaller ones cost nothing; larger ones are hardly ever equal


def share_equal(root: Path, pool: Path) -> None:
    """Make hard links of `pool/DIGEST` of the large files below `root`, where the file system allows it."""
    pool.mkdir(parents=True, exist_ok=True)
    for fact in scan(root, digests=False):
        if fact.kind == "file" and LEAST_BYTES <= fact.size_bytes <= MOST_BYTES and "\\" not in fact.path:
            with suppress(OSError):  # another file system, a folder that may not be written to
                _share(root, fact.path, pool)


def _share(root: Path, path: str, pool: Path) -> None:
    with open_regular(root, path) as content:
        kept, file = pool / hashlib.sha256(content.read()).hexdigest(), root / path
    with suppress(FileExistsError):
        os.link(file, kept, follow_symlinks=False)
    if kept.samefile(file):
        return
    aside = file.with_name(f".{uuid4().hex}")
    os.link(kept, aside)
    aside.replace(file)
