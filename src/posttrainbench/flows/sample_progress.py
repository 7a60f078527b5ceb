"""How far an evaluation is: told by the process that scores, in lines of its output, read by whoever waits.

The lines come from inside an evaluation sandbox, so they are read as text that anybody could have written:
what is no such line is passed over, and nothing depends on them but a progress bar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

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


@contextmanager
def announced(of: int, on_progress: Callable[[Progress], None]) -> Iterator[None]:
    """While open, `on_progress` hears of every sample that an Inspect evaluation of this process finishes."""
    _listen()
    with _COUNTING:
        _COUNT.listener, _COUNT.done, _COUNT.of = on_progress, 0, of
    try:
        yield
    finally:
        with _COUNTING:
            _COUNT.listener = None


# --- Inspect's hook: registered once a process, so it has one listener --------------------------------------


@dataclass
class _Count:
    listener: Callable[[Progress], None] | None = None
    done: int = 0
    of: int = 0
    registered: bool = False


_COUNT, _COUNTING = _Count(), Lock()


def _listen() -> None:
    """Register with Inspect, unless it was done before."""
    from inspect_ai.hooks import Hooks, SampleEnd, hooks

    if _COUNT.registered:
        return
    _COUNT.registered = True

    @hooks(name="posttrainbench_progress", description="counts finished samples")
    class Counting(Hooks):
        def enabled(self) -> bool:
            return _COUNT.listener is not None

        async def on_sample_end(self, data: SampleEnd) -> None:  # noqa: ARG002 - that it ended is enough
            with _COUNTING:
                _COUNT.done += 1
                if _COUNT.listener is not None:
                    _COUNT.listener(Progress(min(_COUNT.done, _COUNT.of), _COUNT.of))
