"""Folders that somebody hostile wrote: nothing hangs, nothing is followed, everything is listed."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from posttrainbench.record import FileFact
from posttrainbench.stores.trees import (
    Caps,
    open_regular,
    printable,
    read_bytes,
    read_text,
    remove_file,
    scan,
)


def listed(root: Path, caps: Caps | None = None) -> dict[str, FileFact]:
    return {fact.path: fact for fact in scan(root, caps=caps)}


def test_files_are_hashed_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "z").write_text("z")
    (tmp_path / "a").write_text("a" * 3_000_000)
    facts = list(scan(tmp_path))
    assert [fact.path for fact in facts] == ["a", "b/z"]
    assert facts[0].sha256 == hashlib.sha256(b"a" * 3_000_000).hexdigest()
    assert [fact.note for fact in facts] == ["", ""]


def test_nothing_is_read_without_digests(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert [(fact.sha256, fact.size_bytes) for fact in scan(tmp_path, digests=False)] == [(None, 1)]


def test_links_are_listed_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "round").symlink_to(".")
    (tmp_path / "gone").symlink_to("nowhere")
    facts = listed(tmp_path)
    assert {fact.kind for fact in facts.values()} == {"link"}
    assert facts["out"].note == "symbolic link to /etc"
    assert len(facts) == 3


def test_fifos_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)  # a socket's path may be 107 bytes long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        facts = listed(tmp_path)
    assert (facts["fifo"].kind, facts["fifo"].note) == ("other", "a fifo")
    assert (facts["socket"].kind, facts["socket"].note) == ("other", "a socket")


def test_a_sparse_file_of_50_gb_is_noted_at_once(tmp_path: Path) -> None:
    for name, size in (("huge", 50 * 10**9), ("holes", 2 * 1024**3)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    facts = listed(tmp_path)
    assert facts["huge"].sha256 is None and "not hashed" in facts["huge"].note
    assert facts["holes"].sha256 is None and "sparse" in facts["holes"].note
    assert facts["huge"].size_bytes == 50 * 10**9


def test_a_file_over_the_cap_is_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert listed(tmp_path, Caps(file_bytes=10))["a"].sha256 is None
    assert listed(tmp_path, Caps(file_bytes=11))["a"].sha256 is not None


def test_hard_links_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    os.link(tmp_path / "a", tmp_path / "b")
    assert listed(tmp_path)["b"].note == "hard link: 2 names"


def test_entries_and_depth_end_at_their_caps(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}").touch()
    facts = list(scan(tmp_path, caps=Caps(entries=5)))
    assert len(facts) == 6
    assert "more than 5 entries" in facts[-1].note
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    (tmp_path / "a/b/c/d/e").touch()
    assert "not entered" in listed(tmp_path, Caps(depth=3))["a/b/c"].note


def test_a_tree_deeper_than_a_path_may_be_is_scanned(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 200, dir_fd=descriptor)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    (fact,) = scan(tmp_path)
    assert fact.path.endswith("/end")
    assert read_bytes(tmp_path, fact.path, 10) == b""


@pytest.mark.parametrize(
    "name", [b"a\nb", b"\xff\xfe", b"a\\x41", b"\x1b[31m", "é".encode(), b"a\\", b"n" * 255]
)
def test_names_of_any_bytes_come_out_printable_and_back(name: bytes, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (fact,) = scan(tmp_path)
    assert fact.path.isprintable()
    fact.path.encode("utf-8")
    assert read_bytes(tmp_path, fact.path, 10) == b"x"


def test_different_names_stay_different(tmp_path: Path) -> None:
    assert len({printable("a\n"), printable("a\\x0a"), printable("a\\"), printable("a\\\\")}) == 4


def test_a_folder_that_cannot_be_entered_is_noted(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    if os.access(tmp_path / "shut", os.R_OK):
        assert listed(tmp_path) == {}  # root enters every folder, and this one is empty
    else:
        assert "could not be read" in listed(tmp_path)["shut"].note


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(scan(tmp_path, "nothing"))


@pytest.mark.parametrize("path", ["link", "link/a", "sub/../../a", "/etc/passwd", "fifo", "sub", "none", ""])
def test_only_regular_files_inside_are_opened(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "a").write_text("secret")
    (root / "link").symlink_to(tmp_path)
    os.mkfifo(root / "fifo")
    with pytest.raises((OSError, ValueError)), open_regular(root, path):
        pass


def test_reading_stops_at_its_cap(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff123")
    assert read_bytes(tmp_path, "a", 4) == b"\xff123"
    assert read_text(tmp_path, "a", 4) == "\ufffd123"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_bytes(tmp_path, "a", 3)


def test_removal_takes_the_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "way").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError):
        remove_file(tmp_path / "root", "way/kept")
    remove_file(tmp_path / "root", "way")
    assert (tmp_path / "outside" / "kept").exists()
