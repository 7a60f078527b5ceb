"""Grades that were paid for, by the digest of what was asked: nobody pays twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posttrainbench.errors import InvalidFile
from posttrainbench.llm import Reply
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic

CACHE = "PTB_GRADER_CACHE"


def grades_folder(environment: Mapping[str, str]) -> Path:
    """Where grades that were paid for are kept: `$PTB_GRADER_CACHE`, else below the user's cache folder."""
    named = environment.get(CACHE)
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{cache}/posttrainbench/grades").expanduser()


class GradeFolder:
    """One file per grade; several evaluations may share the folder at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, digest: str) -> Reply | None:
        """The grade of that request, or None; a file that does not hold one counts as none."""
        try:
            return from_json(Reply, self._path(digest).read_bytes(), digest)
        except (FileNotFoundError, InvalidFile):
            return None

    def keep(self, digest: str, grade: Reply) -> None:
        """Put a grade on the disk, whole or not at all."""
        write_atomic(self._path(digest), to_json(grade))

    def _path(self, digest: str) -> Path:
        return self.root / digest[:2] / f"{digest}.json"
