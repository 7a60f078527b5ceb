"""`ptb data`: get benchmark data onto this machine, and say which of them are there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from posttrainbench.datasets.catalog import ALL, DataFile, data_of
from posttrainbench.datasets.folder import data_folder
from posttrainbench.errors import SetupError
from posttrainbench.report.listing import Listing, listing_json, listing_table
from posttrainbench.stores.benchmark_data import FileState, fetch, import_folder, states

Work = Callable[[Callable[[FileState], None]], tuple[FileState, ...]]


def import_(source: Path, as_json: bool) -> None:
    """Copy what `source` holds into the data folder.

    Raises:
        SetupError: nothing there is ours, or a file is not the published one.
    """
    files, folder = files_of(()), data_folder()
    if source.resolve() == folder.resolve():
        raise SetupError(f"{source} is the data folder itself; see `ptb data list`")
    done = _with_progress("import", files, lambda on_file: import_folder(source, files, folder, on_file))
    _answer(done, as_json)


def fetch_(benchmarks: Sequence[str], host: str | None, as_json: bool) -> None:
    """Download what the data folder lacks.

    Raises:
        UnknownName: no such benchmark.
        SetupError: no network, or a file is not the published one.
    """
    files, folder = files_of(benchmarks), data_folder()
    hosts = (host,) if host else ()
    done = _with_progress("fetch", files, lambda on_file: fetch(files, folder, on_file, *hosts))
    _answer(done, as_json)


def list_(as_json: bool) -> None:
    """Print every file and whether it can be used."""
    _print(states(files_of(()), data_folder()), as_json)


def files_of(benchmarks: Sequence[str]) -> tuple[DataFile, ...]:
    """The files of some benchmarks, or of all when none is named."""
    return tuple(file for name in benchmarks or ALL for file in data_of(name).files)


def _with_progress(verb: str, files: Sequence[DataFile], work: Work) -> tuple[FileState, ...]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(verb, total=len(files))
        return work(lambda state: progress.update(bar, advance=1, description=f"{verb} {state.file.name}"))


def _answer(done: Sequence[FileState], as_json: bool) -> None:
    _print(done, as_json)
    refused = [state.why for state in done if state.state == "refused"]
    if refused:
        raise SetupError("; ".join(refused))


def _print(found: Sequence[FileState], as_json: bool) -> None:
    owner = {file.name: data.benchmark for data in ALL.values() for file in data.files}
    rows = tuple(
        (s.file.name, owner[s.file.name], s.file.rows, s.state, s.file.sha256, s.file.source, s.why)
        for s in found
    )
    columns = ("file", "benchmark", "rows", "state", "sha256", "source", "why")
    listing = Listing(columns, rows, for_scripts=("sha256", "source", "why"))
    if as_json:
        print(listing_json(listing), end="")  # noqa: T201 - what was asked for
    else:
        Console().print(listing_table(listing))
        Console().print(f"data folder: {data_folder()}", highlight=False, soft_wrap=True)
