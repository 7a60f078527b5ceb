"""`ptb watch RUN`: what a run does now, followed until it ends; it only reads, whoever works on the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from posttrainbench.cli.members import transcript_form
from posttrainbench.cli.show import run_store
from posttrainbench.flows.spent import spent
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import RunRecord, Stage
from posttrainbench.report.progress import one_line
from posttrainbench.report.watching import Moment
from posttrainbench.stores.claims import HEARTBEAT_S, is_alive, owner_of, pulse_of
from posttrainbench.stores.monitor import read_samples
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.transcripts import read_lines
from posttrainbench.transcribing.streams import read_stream
from posttrainbench.transcribing.work import queries, solve_entries
from posttrainbench.transcript import TranscriptEvent

EVERY_S = 1.0
TAIL_BYTES = 256 * 1024  # of what an agent printed, looked at for its last events
STILL_S = 10 * HEARTBEAT_S


def watch(run_dir: Path) -> None:
    """Show the run until it has a record; on no terminal, once.

    Raises:
        SetupError: it is no run directory.
    """
    store, console = run_store(run_dir), Console()
    watcher = Watcher(store)
    if console.is_terminal and store.record() is None:
        _follow(watcher, console)
    elif store.record() is None:
        console.print(watcher.moment())
    if (record := store.record()) is not None:
        console.print(one_line(record))
        console.print(f"more: ptb show {run_dir}", style="dim", markup=False, soft_wrap=True)


def _follow(watcher: Watcher, console: Console) -> None:
    try:
        with Live(watcher.moment(), console=console, refresh_per_second=4, screen=False) as live:
            while watcher.record() is None:
                time.sleep(EVERY_S)
                live.update(watcher.moment())
    except KeyboardInterrupt:
        console.print("the run goes on; look again with the same command", style="dim")


@dataclass
class Watcher:
    """Reads a run directory again and again; what did not grow is not read twice."""

    store: RunStore
    _ledger_bytes: int = -1
    _entries: tuple[LedgerEntry, ...] = ()
    _pulse: tuple[str | None, float] = field(default_factory=lambda: (None, time.monotonic()))

    def record(self) -> RunRecord | None:
        return self.store.record()

    def moment(self) -> Moment:
        """The run as it is now."""
        entries, number, spec = self._read_ledger(), self.store.attempts(), self.store.spec()
        attempt = self.store.layout.attempt(number)
        solving = solve_entries(entries, number)
        stage = _stage(entries)
        agent_s = _seconds_since(solving[0].at_utc) if solving and stage == Stage.SOLVE else None
        worker, alive = self._worker(number)
        spend = spent(entries)
        before_s = spent(entries[: entries.index(solving[0])]).wall_s or 0.0 if solving else 0.0
        return Moment(
            spec,
            stage,
            number,
            worker,
            alive,
            before_s + agent_s if agent_s is not None else None,
            agent_s,
            spend,
            self._last_events(number) if number else (),
            tuple(queries(solving)),
            read_samples(attempt.monitor) if number else (),
        )

    def _read_ledger(self) -> tuple[LedgerEntry, ...]:
        path = self.store.layout.ledger
        size = path.stat().st_size if path.exists() else 0
        if size != self._ledger_bytes:
            self._ledger_bytes, self._entries = size, self.store.ledger_entries()
        return self._entries

    def _last_events(self, number: int) -> Sequence[TranscriptEvent]:
        path = self.store.layout.attempt(number).transcript
        size = path.stat().st_size if path.exists() else 0
        lines = read_lines(path, max(0, size - TAIL_BYTES))
        return tuple(read_stream(transcript_form(self.store.spec().agent), lines))[-20:]

    def _worker(self, number: int) -> tuple[str, bool | None]:
        """Who works on the newest attempt, and whether it lives: seen by its process or its pulse."""
        if not number:
            return "none yet", None
        attempt = self.store.layout.attempt(number)
        pulse = pulse_of(attempt)
        if pulse == "released":
            return f"none; continue with: ptb run {self.store.layout.root}", False
        if pulse != self._pulse[0]:
            self._pulse = (pulse, time.monotonic())
        owner = owner_of(attempt)
        who = f"process {owner.pid} on {owner.host}, since {owner.since_utc[11:19]} UTC"
        alive = is_alive(owner)
        if alive is None:  # on another host
            still_s = time.monotonic() - self._pulse[1]
            return (
                f"{who}; last sign of life {still_s:.0f} s ago or more",
                None if still_s < STILL_S else False,
            )
        gone = "" if alive else f"; it is gone: ptb run {self.store.layout.root}"
        return f"{who}{gone}", alive


def _stage(entries: Sequence[LedgerEntry]) -> str:
    """The stage that began last, or what comes after the one that ended last."""
    stages = [entry for entry in entries if entry.kind == "stage"]
    if not stages:
        return "waiting"
    name = str(stages[-1].data.get("stage"))
    if stages[-1].data.get("event") == "start" or name == Stage.RECORD:
        return name
    return f"after {name}"


def _seconds_since(at_utc: str) -> float:
    return max(0.0, time.time() - datetime.fromisoformat(at_utc).timestamp())
