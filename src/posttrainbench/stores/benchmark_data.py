"""Putting benchmark data into the data folder: copied from another folder, or downloaded from their sources.

A file gets there whole or not at all, and only when its content is the published one. Files lie uncompressed,
but for the archive that its authors protected, which stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from posttrainbench.datasets.catalog import DataFile
from posttrainbench.datasets.folder import LARGEST_BYTES, checked, content_of, find
from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.stores.files import write_atomic

HOST = "https://raw.githubusercontent.com"
TRIES = 3
PATIENCE_S = 30.0  # for one answer, and between two pieces of it

State = Literal["imported", "ready", "absent", "damaged", "refused"]


@dataclass(frozen=True, slots=True)
class FileState:
    """What became of one file, or what is true of it; `why` is for people."""

    file: DataFile
    state: State
    why: str = ""


def states(files: Sequence[DataFile], folder: Path) -> tuple[FileState, ...]:
    """What is true of files in the data folder: each is read and checked."""
    return tuple(_state(file, folder) for file in files)


def import_folder(
    source: Path, files: Sequence[DataFile], folder: Path, on_file: Callable[[FileState], None]
) -> tuple[FileState, ...]:
    """Copy those of `files` that `source` holds, compressed or not, into the data folder.

    `on_file` hears of each as it is done. A file that is not the published one is refused, the others are
    copied all the same; one that lies in `source` under another name is not looked for.

    Raises:
        SetupError: there is no such folder, or nothing of all this is in it.
    """
    if not source.is_dir():
        raise SetupError(f"{source} is not a folder")
    if all(find(file, source) is None for file in files):
        raise SetupError(f"{source} holds none of the files, such as {files[0].name} or {files[0].name}.gz")
    return _each(files, on_file, lambda file: _imported(file, source, folder))


def fetch(
    files: Sequence[DataFile], folder: Path, on_file: Callable[[FileState], None], host: str = HOST
) -> tuple[FileState, ...]:
    """Download those of `files` that the data folder does not hold yet.

    Raises:
        SetupError: a file cannot be had; those before it are kept.
    """
    return _each(files, on_file, lambda file: _fetched(file, folder, host))


def _each(
    files: Sequence[DataFile], on_file: Callable[[FileState], None], put: Callable[[DataFile], FileState]
) -> tuple[FileState, ...]:
    done: list[FileState] = []
    for file in files:
        done.append(put(file))
        on_file(done[-1])
    return tuple(done)


def _state(file: DataFile, folder: Path) -> FileState:
    path = find(file, folder)
    if path is None:
        return FileState(file, "absent")
    try:
        content_of(file, path)
    except InvalidFile as error:
        return FileState(file, "damaged", str(error))
    return FileState(file, "ready")


def _imported(file: DataFile, source: Path, folder: Path) -> FileState:
    path = find(file, source)
    if path is None:
        return FileState(file, "absent", f"not in {source}")
    try:
        content = content_of(file, path)
    except InvalidFile as error:
        return FileState(file, "refused", str(error))
    _put(file, content, folder)
    return FileState(file, "imported")


def _fetched(file: DataFile, folder: Path, host: str) -> FileState:
    if _state(file, folder).state == "ready":
        return FileState(file, "ready")
    url = f"{host.rstrip('/')}/{file.source}"
    try:
        _put(file, checked(file, _downloaded(url), url), folder)
    except InvalidFile as error:
        return FileState(file, "refused", str(error))
    return FileState(file, "imported")


def _put(file: DataFile, content: bytes, folder: Path) -> None:
    target = folder / file.name
    try:
        write_atomic(target, content)
        target.with_name(f"{target.name}.gz").unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"cannot write {target}: {error.strerror}") from error


def _downloaded(url: str) -> bytes:
    """What lies at a URL; a server that is busy or gone for a moment is asked again."""
    import httpx

    problem = ""
    for attempt in range(TRIES):
        try:
            return _download_once(url)
        except httpx.HTTPStatusError as error:
            problem = f"the server answers {error.response.status_code}"
            if error.response.status_code < 500 and error.response.status_code != 429:
                break
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
        if attempt < TRIES - 1:
            time.sleep(2.0**attempt / 2)
    instead = "copy the files to this machine and run `ptb data import DIR`"
    raise SetupError(f"{url} cannot be downloaded ({problem}); {instead}")


def _download_once(url: str) -> bytes:
    import httpx

    content = bytearray()
    with httpx.stream("GET", url, follow_redirects=True, timeout=PATIENCE_S) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > LARGEST_BYTES:
                raise InvalidFile(f"{url} is larger than {LARGEST_BYTES} bytes")
    return bytes(content)
