"""Where benchmark data lie on this machine, and how they are read: never without checking their digest.

The folder is `$PTB_DATA`, else `$XDG_DATA_HOME/posttrainbench/data`. A file may lie there as it is or as .gz.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from posttrainbench.datasets.catalog import BenchmarkData, DataFile
from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.protocols import Mount

VARIABLE = "PTB_DATA"
INSIDE = "/data"  # where an evaluation sandbox finds the folder
LARGEST_BYTES = 64_000_000  # far above any of ours
_GZIP = b"\x1f\x8b"
# Published by the data set's authors in its README: it keeps crawlers out, not readers.
ZIP_PASSWORD = b"deserted-untie-orchid"

Row = TypeVar("Row")


def data_folder() -> Path:
    """The folder of benchmark data; it need not be there."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "posttrainbench" / "data"


@dataclass(frozen=True, slots=True)
class DataView:
    """What an evaluation sandbox needs to find the data: the folder shown inside, and its name there."""

    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]


def view_inside() -> DataView:
    """The data folder as an evaluation sandbox must be shown it; nothing while there is none.

    For evaluation sandboxes only: an agent must never see it.
    """
    folder = data_folder()
    if not folder.is_dir():
        return DataView((), {})
    return DataView((Mount(folder.resolve(), INSIDE),), {VARIABLE: INSIDE})


def find(file: DataFile, folder: Path) -> Path | None:
    """Where a file lies below `folder`, compressed or not, or None."""
    plain = folder / file.name
    candidates = (plain, plain.with_name(f"{plain.name}.gz"))
    return next((path for path in candidates if path.is_file()), None)


def missing(data: BenchmarkData, folder: Path | None = None) -> tuple[DataFile, ...]:
    """The files of a benchmark that are not in the folder (their content is checked when they are read)."""
    return tuple(file for file in data.files if find(file, folder or data_folder()) is None)


def content_of(file: DataFile, path: Path) -> bytes:
    """The uncompressed content of `path`, which is the one that `file` names.

    Raises:
        InvalidFile: it cannot be read, or is another.
    """
    try:
        return checked(file, path.read_bytes(), str(path))
    except OSError as error:
        raise InvalidFile(f"{path} cannot be read: {error.strerror}") from error


def checked(file: DataFile, content: bytes, where: str) -> bytes:
    """`content`, uncompressed, which is what `file` names.

    Raises:
        InvalidFile: it is another; the text says in what.
    """
    if content.startswith(_GZIP):
        content = _decompressed(content, where)
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return content
    rows = len(content.splitlines())
    if file.name.endswith(".jsonl") and rows != file.rows:
        raise InvalidFile(f"{where} is not the published {file.name}: {rows} rows instead of {file.rows}")
    found, wanted = f"its sha256 is {digest[:12]}...", f"instead of {file.sha256[:12]}..."
    raise InvalidFile(f"{where} is not the published {file.name}: {found} {wanted}")


def _decompressed(content: bytes, where: str) -> bytes:
    """The first `LARGEST_BYTES` of what is compressed; no published file is larger."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return stream.read(LARGEST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidFile(f"{where} cannot be decompressed: {error}") from error


def read_rows(file: DataFile, row: type[Row]) -> tuple[Row, ...]:
    """Every row of a JSON-lines file in the data folder; fields that `row` does not name are left out.

    Raises:
        SetupError: the file is not there; the text says how to get it.
        InvalidFile: it is not the published one.
    """
    adapter = TypeAdapter(row)
    return tuple(adapter.validate_json(line) for line in _content(file, data_folder()).splitlines())


def read_zipped_csv(file: DataFile, member: str, row: type[Row]) -> tuple[Row, ...]:
    """Every row of a CSV file in a protected archive, read in memory: nothing is unpacked to the disk.

    Raises:
        SetupError, InvalidFile: as `read_rows`.
    """
    adapter = TypeAdapter(row)
    cells = csv.DictReader(io.StringIO(_unzipped(file, member, data_folder()), newline=""))
    return tuple(adapter.validate_python(line) for line in cells)


@cache
def _unzipped(file: DataFile, member: str, folder: Path) -> str:
    with zipfile.ZipFile(io.BytesIO(_content(file, folder))) as archive:
        return archive.read(member, pwd=ZIP_PASSWORD).decode("utf-8")


@cache
def _content(file: DataFile, folder: Path) -> bytes:
    path = find(file, folder)
    if path is None:
        raise SetupError(
            f"{file.name} is not in {folder}: run `ptb data import DIR` with a folder that holds it, "
            "or `ptb data fetch` when online"
        )
    return content_of(file, path)
