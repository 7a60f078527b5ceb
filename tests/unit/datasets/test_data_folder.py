"""Reading benchmark data: never without their digest, and never without saying how to get them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from posttrainbench.datasets.catalog import ALL, DataFile, data_of
from posttrainbench.datasets.folder import data_folder, missing, read_rows, view_inside
from posttrainbench.errors import InvalidFile, SetupError, UnknownName

CONTENT = b'{"word": "ash", "more": 1}\n{"word": "elm\\u2028"}\n'
FILE = DataFile("made/up.jsonl", hashlib.sha256(CONTENT).hexdigest(), 2, "a/b", "c", "d")


@dataclass(frozen=True)
class Word:
    word: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PTB_DATA", str(tmp_path))
    (tmp_path / "made").mkdir()
    return tmp_path


def test_rows_are_read_plain_or_compressed(folder: Path) -> None:
    words = (Word("ash"), Word("elm\u2028"))  # a separator inside a text is no end of line
    (folder / "made" / "up.jsonl").write_bytes(CONTENT)
    assert read_rows(FILE, Word) == words
    (folder / "made" / "up.jsonl").rename(folder / "made" / "other.jsonl.gz")
    (folder / "made" / "other.jsonl.gz").write_bytes(gzip.compress(CONTENT, mtime=0))
    assert read_rows(replace(FILE, name="made/other.jsonl"), Word) == words


def test_an_absent_file_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(SetupError, match=r"`ptb data import DIR`.*`ptb data fetch`"):
        read_rows(FILE, Word)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (CONTENT + b'{"word": "oak"}\n', "3 rows instead of 2"),
        (CONTENT.replace(b"ash", b"oak"), "sha256"),
        (b"", "0 rows instead of 2"),
        (gzip.compress(CONTENT, mtime=0)[:-9], "cannot be decompressed"),
    ],
    ids=["longer", "changed", "empty", "cut"],
)
def test_a_changed_file_is_not_read(folder: Path, content: bytes, why: str) -> None:
    (folder / "made" / "up.jsonl").write_bytes(content)
    with pytest.raises(InvalidFile, match=why):
        read_rows(FILE, Word)


def test_the_folder_is_named_or_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PTB_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "posttrainbench" / "data"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder() == Path.home() / ".local" / "share" / "posttrainbench" / "data"
    monkeypatch.setenv("PTB_DATA", str(tmp_path / "mine"))
    assert data_folder() == tmp_path / "mine"


def test_an_evaluation_sandbox_is_shown_the_folder_if_there_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_inside()
    (mount,) = view.mounts
    assert (mount.host, mount.inside, mount.writable) == (folder.resolve(), "/data", False)
    assert view.environment == {"PTB_DATA": "/data"}
    monkeypatch.setenv("PTB_DATA", str(folder / "nowhere"))
    assert not view_inside().mounts


def test_the_catalogue_names_every_file_once_and_pins_it() -> None:
    files = [file for data in ALL.values() for file in data.files]
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == len(files)
    assert all(len(file.sha256) == 64 and len(file.commit) == 40 and file.rows for file in files)
    assert len({data.digest for data in ALL.values()}) == len(ALL) == 7


def test_an_unknown_benchmark_is_named(folder: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'gsm8k'"):
        data_of("gsm8")
    assert missing(data_of("gsm8k")) == data_of("gsm8k").files


def test_the_real_files_are_those_of_the_catalogue(real_data: Path) -> None:
    assert not [file.name for data in ALL.values() for file in missing(data, real_data)]
