"""Grades that were paid for, by the digest of what was asked: nobody pays twice."""

from __future__ import annotations

from pathlib import Path

from posttrainbench.errors import InvalidFile
from posttrainbench.grade import Grade
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic


class GradeFolder:
    """One file per grade; several evaluations may share the folder at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, digest: str) -> Grade | None:
        """The grade of that request, or None; a file that does not hold one counts as none."""
        try:
            return from_json(Grade, self._path(digest).read_bytes(), digest)
        except (FileNotFoundError, InvalidFile):
            return None

    def keep(self, digest: str, grade: Grade) -> None:
        """Put a grade on the disk, whole or not at all."""
        write_atomic(self._path(digest), to_json(grade))

    def _path(self, digest: str) -> Path:
        return self.root / digest[:2] / f"{digest}.json"
