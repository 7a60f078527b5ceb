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
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from posttrainbench.datasets.catalog import BenchmarkData, DataFile
from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.protocols import Mount

VARIABLE = "PTB_DATA"
INSIDE = "/data"  # where an evaluation sandbox finds the folder
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


def mounts_inside() -> tuple[Mount, ...]:
    """What an evaluation sandbox must be shown to find the data; nothing while there are none."""
    folder = data_folder()
    return (Mount(folder.resolve(), INSIDE),) if folder.is_dir() else ()


def environment_inside() -> dict[str, str]:
    """The environment variable by which our code finds the data inside an evaluation sandbox."""
    return {VARIABLE: INSIDE}


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
        InvalidFile: its digest is another.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidFile(f"{path} cannot be read: {error}") from error
    check(file, content, str(path))
    return content


def check(file: DataFile, content: bytes, where: str) -> None:
    """Nothing, when `content` is what `file` names.

    Raises:
        InvalidFile: its digest is another.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        found, wanted = f"sha256 {digest[:12]}...", f"expected {file.sha256[:12]}..."
        raise InvalidFile(f"{where} is not the published {file.name}: {found}, {wanted}")


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
