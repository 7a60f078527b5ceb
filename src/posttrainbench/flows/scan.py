"""Scan: every text that a run left, for test items, on all cores.

Covered: the same finds in the same order however many processes share the work; memory that does not grow
with what is read; hostile files are parsed outside this process once there is enough to share.
Not covered: a file that ends a process that parses it (no such file is known) ends the whole scan: the check
has then not run.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from posttrainbench.auditing.passages import Index
from posttrainbench.auditing.retold import Tallies, tallied
from posttrainbench.auditing.search import Hit, search
from posttrainbench.budget import MIB
from posttrainbench.stores.documents import source_documents, transcript_documents
from posttrainbench.stores.sources import Coverage, Source, size_of, sources

_BATCH_BYTES, _BATCH_FILES = 8 * MIB, 2000  # what a process gets at a time
_ALONE = 3  # so few batches are sooner read than processes are started
_AHEAD = 3  # batches per process that wait for their turn


@dataclass(frozen=True, slots=True)
class Batch:
    """What is read in one go; its bounds do not depend on how many processes there are."""

    sources: tuple[Source, ...]
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found, in the order of the texts, and what was read."""

    hits: tuple[Hit, ...]
    tallies: Tallies
    coverage: Coverage


def scan(
    index: Index, root: Path, folders: Iterable[str], transcript: str, processes: int | None = None
) -> Scanned:
    """Search the texts of some folders below `root` and of a transcript.

    Args:
        processes: None: as many as there are cores for us.
    """
    coverage = Coverage()
    batches = chain(_batches(root, folders, coverage), [Batch((), transcript)])
    first = list(islice(batches, _ALONE + 1))
    processes = processes or len(os.sched_getaffinity(0))
    if len(first) <= _ALONE or processes == 1:
        results = (_searched(index, root, batch) for batch in chain(first, batches))
        return _together(results, coverage)
    # Started anew rather than forked: we hold threads and locks.
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (index, root)) as pool:
        try:
            return _together(_in_order(pool, chain(first, batches), processes * _AHEAD), coverage)
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(root: Path, folders: Iterable[str], coverage: Coverage) -> Iterator[Batch]:
    held: list[Source] = []
    size = 0
    for source in chain.from_iterable(sources(root, folder, coverage) for folder in folders):
        held.append(source)
        size += size_of(source)
        if size >= _BATCH_BYTES or len(held) == _BATCH_FILES:
            yield Batch(tuple(held))
            held, size = [], 0
    if held:
        yield Batch(tuple(held))


def _together(results: Iterable[Scanned], coverage: Coverage) -> Scanned:
    hits: list[Hit] = []
    tallies = Tallies()
    for result in results:
        hits += result.hits
        tallies.add(result.tallies)
        coverage.add(result.coverage)
    return Scanned(tuple(hits), tallies, coverage)


def _in_order(pool: ProcessPoolExecutor, batches: Iterator[Batch], ahead: int) -> Iterator[Scanned]:
    """The results in the batches' order; so many batches at most are under way."""
    waiting: deque[Future[Scanned]] = deque()
    for batch in batches:
        waiting.append(pool.submit(_search_here, batch))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _searched(index: Index, root: Path, batch: Batch) -> Scanned:
    coverage = Coverage()
    texts = chain.from_iterable(source_documents(root, source, coverage) for source in batch.sources)
    if batch.transcript:
        texts = chain(texts, transcript_documents(root, batch.transcript, coverage))
    tallies = Tallies()
    parted = {source.shown for source in batch.sources if source.part}
    hits = tuple(search(index, tallied(index.runs, texts, tallies, parted)))
    return Scanned(hits, tallies, coverage)


# --- within a process of the pool ---------------------------------------------------------------------------

_given: list[tuple[Index, Path]] = []


def _begin(index: Index, root: Path) -> None:
    _given.append((index, root))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process of the pool waits for work for ever, also when nobody is left to give it some."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _search_here(batch: Batch) -> Scanned:
    index, root = _given[-1]
    return _searched(index, root, batch)
