"""What somebody sends is unpacked into a folder of its own, or refused with a word."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from posttrainbench.errors import InvalidFile
from posttrainbench.stores.parcels import Caps, unpacked


def tar_of(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


MAKERS = {"tar.gz": tar_of, "tar": lambda p, m: tar_of(p, m, "w"), "zip": zip_of}


@pytest.mark.parametrize("kind", MAKERS)
def test_regular_files_come_out_and_go_away(kind: str, tmp_path: Path) -> None:
    parcel = MAKERS[kind](tmp_path / "parcel", {"run/spec.json": b"{}", "run/attempts/1/x": b"abc"})
    with unpacked(parcel) as folder:
        found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {"run/spec.json": b"{}", "run/attempts/1/x": b"abc"}
    assert not folder.exists()


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out"])
def test_names_that_lead_out_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    parcel = MAKERS[kind](tmp_path / "parcel", {name: b"x"})
    with pytest.raises(InvalidFile, match="leads out"), unpacked(parcel):
        pass


def test_links_and_devices_are_left_out_and_nothing_is_written_through_them(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    parcel = tmp_path / "parcel.tar"
    with tarfile.open(parcel, "w") as archive:
        link = tarfile.TarInfo("run/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        hard = tarfile.TarInfo("run/hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/passwd"
        pipe = tarfile.TarInfo("run/pipe")
        pipe.type = tarfile.FIFOTYPE
        inside = tarfile.TarInfo("run/link/file")
        inside.size = 1
        for info in (link, hard, pipe):
            archive.addfile(info)
        archive.addfile(inside, io.BytesIO(b"x"))
    with unpacked(parcel) as folder:
        assert [p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()] == [
            "run/link/file"
        ]
    assert list(outside.iterdir()) == []


def test_a_link_in_a_zip_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "parcel.zip", "w") as archive:
        info = zipfile.ZipInfo("run/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("run/spec.json", "{}")
    with unpacked(tmp_path / "parcel.zip") as folder:
        assert [path.name for path in (folder / "run").iterdir()] == ["spec.json"]


@pytest.mark.parametrize("kind", MAKERS)
def test_what_unpacks_to_too_much_is_refused(kind: str, tmp_path: Path) -> None:
    parcel = MAKERS[kind](tmp_path / "parcel", {"run/zeros": bytes(3_000_000)})
    with pytest.raises(InvalidFile, match="more than a run may hold"), unpacked(parcel, Caps(10, 2_000_000)):
        pass
    parcel = MAKERS[kind](tmp_path / "parcel", {f"run/{n}": b"" for n in range(11)})
    with pytest.raises(InvalidFile, match="more than 10 members"), unpacked(parcel, Caps(10, 2_000_000)):
        pass


def test_names_that_come_twice_and_broken_files_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("run/spec.json"))
    whole = tar_of(tmp_path / "whole.tar.gz", {"run/x": bytes(range(256)) * 4000}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none").write_text("hello")
    for name in ("twice.tar", "cut.tar.gz", "none"):
        with pytest.raises(InvalidFile, match="cannot be unpacked"), unpacked(tmp_path / name):
            pass
