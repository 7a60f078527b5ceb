"""How far an evaluation is: told by the process that scores, in lines of its output, read by whoever waits.

The lines come from inside an evaluation sandbox, so they are read as text that anybody could have written:
what is no such line is passed over, and nothing depends on them but a progress bar.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_LINE = re.compile(rb"ptb-progress (\d{1,9})/(\d{1,9})")
_LONGEST_LINE = 200  # bytes; ours are shorter, and a longer one is not kept in memory


@dataclass(frozen=True, slots=True)
class Progress:
    """How many samples of an evaluation are done."""

    done: int
    of: int

    @property
    def line(self) -> str:
        """As it is printed inside the sandbox."""
        return f"ptb-progress {self.done}/{self.of}"


class ProgressReader:
    """Finds the progress lines in output that comes in pieces."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress, self._rest = on_progress, b""

    def read(self, chunk: bytes) -> None:
        """Tell of every progress line that `chunk` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            found = _LINE.fullmatch(line.strip())
            if found and (done := int(found[1])) <= (of := int(found[2])):
                self._on_progress(Progress(done, of))
