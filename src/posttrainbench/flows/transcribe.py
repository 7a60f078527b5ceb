"""Transcribe: what the agent of one attempt did, from the best source that there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import LedgerEntry
from posttrainbench.stores.calls import read_calls
from posttrainbench.stores.monitor import read_samples
from posttrainbench.stores.transcripts import read_lines
from posttrainbench.transcribing.captured import read_captured
from posttrainbench.transcribing.streams import read_stream
from posttrainbench.transcribing.work import Work, call_ends, solve_entries, summarise
from posttrainbench.transcript import Source, TranscriptEvent


def source_of(attempt: AttemptLayout) -> Source:
    """The captured calls, which no sandbox can forge, where the agent called a model; else its stream."""
    return Source.CALLS if attempt.calls.exists() else Source.STREAM


def events_of(attempt: AttemptLayout, entries: Sequence[LedgerEntry], form: str) -> Iterator[TranscriptEvent]:
    """The transcript of an attempt; `form` says how its agent's program prints."""
    if source_of(attempt) is Source.CALLS:
        return read_captured(read_calls(attempt.calls), call_ends(solve_entries(entries, attempt.number)))
    return read_stream(form, read_lines(attempt.transcript))


def work_of(attempt: AttemptLayout, entries: Sequence[LedgerEntry], form: str, wall_s: float) -> Work:
    """How the agent of an attempt worked, in the `wall_s` seconds that it had until now."""
    return summarise(
        source_of(attempt),
        events_of(attempt, entries, form),
        solve_entries(entries, attempt.number),
        read_samples(attempt.monitor),
        wall_s,
    )
