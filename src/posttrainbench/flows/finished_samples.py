"""What the samples of an Inspect evaluation came to, heard as each ends: reading a log back takes time.

Inspect passes over what goes wrong in a hook, so whoever listens compares the number of samples with the
log's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from posttrainbench.flows.sample_progress import Progress

if TYPE_CHECKING:
    from inspect_ai.hooks import SampleEnd
    from inspect_ai.log import EvalSample, EvalSampleSummary
    from inspect_ai.scorer import Score

# Inspect's letters for correct, incorrect and no answer; an answer that was not given earns nothing.
GRADES = {"C": 1.0, "I": 0.0, "N": 0.0}


@dataclass(frozen=True, slots=True)
class FinishedSample:
    """All that an outcome needs of a sample; its messages and events would fill the memory."""

    id: str
    part: str  # the part of the score that it counts to, "" for none
    value: float | None  # its first score, None when there is none that is a number
    told: Mapping[str, object]  # what the scorer told beside the value
    error: str | None

    @classmethod
    def of(cls, sample: EvalSample | EvalSampleSummary) -> FinishedSample:
        """What a sample, or the summary of one in a log, came to."""
        score = next(iter((sample.scores or {}).values()), None)
        told = (score.metadata or {}) if score else {}
        error = sample.error if isinstance(sample.error, str | None) else sample.error.message
        return cls(str(sample.id), str(sample.metadata.get("part", "")), _value(score), told, error)


class FinishedSamples:
    """The finished samples of evaluations that run side by side, by the id of each evaluation.

    Args:
        of: how many there will be.
        on_progress: hears of every one.
    """

    def __init__(self, of: int, on_progress: Callable[[Progress], None] | None) -> None:
        self.by_evaluation: dict[str, list[FinishedSample]] = {}
        self._done, self._of, self._on_progress = 0, of, on_progress

    def add(self, ended: SampleEnd) -> None:
        """Keep what a sample came to, and tell of it."""
        self.by_evaluation.setdefault(ended.eval_id, []).append(FinishedSample.of(ended.sample))
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(Progress(min(self._done, self._of), self._of))


@contextmanager
def listening(finished: FinishedSamples) -> Iterator[None]:
    """While open, `finished` hears of every sample of this process's evaluations; one at a time may."""
    _listen()
    _LISTENER.finished = finished
    try:
        yield
    finally:
        _LISTENER.finished = None


def _value(score: Score | None) -> float | None:
    if score is None:
        return None
    if isinstance(score.value, str):
        return GRADES.get(score.value)
    value = score.as_float()
    return value if isfinite(value) else None


# --- Inspect's hook: registered once a process, so it has one listener --------------------------------------


@dataclass
class _Listener:
    finished: FinishedSamples | None = None
    registered: bool = False


_LISTENER = _Listener()


def _listen() -> None:
    """Register with Inspect, unless it was done before."""
    from inspect_ai.hooks import Hooks, hooks

    if _LISTENER.registered:
        return
    _LISTENER.registered = True

    @hooks(name="posttrainbench_finished", description="hears what each sample came to")
    class Hearing(Hooks):
        def enabled(self) -> bool:
            return _LISTENER.finished is not None

        async def on_sample_end(self, data: SampleEnd) -> None:
            if _LISTENER.finished is not None:
                _LISTENER.finished.add(data)
