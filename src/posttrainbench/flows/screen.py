"""Screen: whether a file that an agent means to train on holds test items, while it can still mend it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from posttrainbench.auditing.passages import Index
from posttrainbench.auditing.search import search
from posttrainbench.budget import MIB
from posttrainbench.layout import AttemptLayout
from posttrainbench.protocols import OverlapAnswer
from posttrainbench.stores.documents import file_documents
from posttrainbench.stores.sources import Coverage
from posttrainbench.stores.trees import open_regular

FILE_BYTES = 64 * MIB  # a search takes a core for a while: larger files are asked about in parts
_PIECE_BYTES = 1 * MIB


class Screen:
    """Looks for test items in files of a workspace as the audit will; nobody alive in it can mislead it."""

    def __init__(self, attempt: AttemptLayout, index: Callable[[], Index]) -> None:
        """`index` is asked for with the first file: most agents never ask."""
        self._attempt, self._make = attempt, index
        self._index: Index | None = None

    def check(self, path: str) -> OverlapAnswer:
        """What the file at a path relative to the workspace holds."""
        relative = f"{self._attempt.workspace.name}/{path}"
        try:
            size_bytes, sha256 = self._facts(relative)
        except OSError:
            return OverlapAnswer(None, error=f"{path} is no file that can be read, or lies behind a link")
        if size_bytes > FILE_BYTES:
            too_large = f"{path} is larger than {FILE_BYTES // MIB} MiB; check it in parts"
            return OverlapAnswer(None, error=too_large, sha256=sha256)
        self._index = self._index or self._make()
        coverage = Coverage()
        texts = file_documents(self._attempt.root, relative, path, size_bytes, coverage, FILE_BYTES)
        hits = [hit for hit in search(self._index, texts) if not hit.weak]
        if coverage.skipped_files and not hits:
            why = next(iter(coverage.reasons))
            return OverlapAnswer(None, error=f"{path} could not be read as text: {why}", sha256=sha256)
        places = tuple(dict.fromkeys(_place(hit.path, path, hit.locator) for hit in hits))
        items = len({hit.item_id for hit in hits})
        return OverlapAnswer(bool(hits), places, items, sha256)

    def _facts(self, relative: str) -> tuple[int, str]:
        """Size and digest; no more is read than would be searched."""
        digest, size = hashlib.sha256(), 0
        with open_regular(self._attempt.root, relative) as file:
            while size <= FILE_BYTES and (piece := file.read(_PIECE_BYTES)):
                size += len(piece)
                digest.update(piece)
        return size, digest.hexdigest()


def _place(found: str, path: str, locator: str) -> str:
    """`line 3`; within an archive, with the member's name."""
    return locator if found == path else f"{found.removeprefix(path).lstrip('!/ ')} {locator}"
