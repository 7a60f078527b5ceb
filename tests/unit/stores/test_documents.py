"""Texts are found whatever they are wrapped in, and what was not read is counted."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import tarfile
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from posttrainbench.stores.documents import documents, transcript_documents
from posttrainbench.stores.sources import Coverage

TEXT = "Tom had 45 apples.\nHow many are left?"


def read(root: Path, **caps: int) -> tuple[dict[str, str], Coverage]:
    """Path -> all its text, and the coverage."""
    coverage = Coverage()
    texts: dict[str, str] = {}
    for document in documents(root, "w", coverage, **caps):
        texts[document.path] = texts.get(document.path, "") + "\n".join(text for _, text in document.pieces)
    return texts, coverage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


def as_parquet(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"messages": [[{"role": "user", "content": TEXT}]]}), path)


def as_arrow(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"question": [TEXT]})
    with arrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def as_arrow_stream(path: Path) -> None:
    """What `datasets` keeps in its cache."""
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"question": [TEXT]})
    with arrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/", "")
        archive.writestr("data/a.json", json.dumps([TEXT]))


def as_tar(path: Path, mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT.encode()))


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def wrapped(text: str, width: int = 20) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


WRAPPINGS = {
    "plain": lambda path: path.write_text(TEXT),
    "json": lambda path: path.write_text(json.dumps({"a": [{"b": TEXT}]}, indent=1)),
    "json lines": lambda path: path.write_text(
        json.dumps({"q": TEXT}) + "\n" + json.dumps({"q": "other"}) + "\n"
    ),
    "json key": lambda path: path.write_text(json.dumps({TEXT: 1})),
    "json escapes": lambda path: path.write_text("".join(f"\\u{ord(c):04x}" for c in TEXT).join('""')),
    "gzip": lambda path: path.write_bytes(gzip.compress(json.dumps([TEXT]).encode())),
    "gzip in gzip": lambda path: path.write_bytes(gzip.compress(gzip.compress(TEXT.encode()))),
    "bzip2": lambda path: path.write_bytes(bz2.compress(TEXT.encode())),
    "xz": lambda path: path.write_bytes(lzma.compress(TEXT.encode())),
    "zip": as_zip,
    "tar": as_tar,
    "tar.gz": lambda path: as_tar(path, "w:gz"),
    "parquet": as_parquet,
    "arrow": as_arrow,
    "arrow stream": as_arrow_stream,
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", ["data.jsonl", "weights.bin", "noext"])
def test_text_is_found_by_content_not_by_name(wrapping: str, name: str, folder: Path) -> None:
    WRAPPINGS[wrapping](folder / name)
    texts, coverage = read(folder.parent)
    assert TEXT in "\n".join(texts.values()).replace("\n\n", "\n")  # lines come with their ends
    assert (coverage.files, coverage.skipped_files) == (1, 0)


LAYERS = {
    "base64": encoded(TEXT.encode()),
    "base64, wrapped": wrapped(encoded(TEXT.encode() * 5), 40),
    "base64 for URLs": base64.urlsafe_b64encode(b"~~~???" + TEXT.encode()).decode(),
    "base64 of base64": encoded(encoded(TEXT.encode()).encode()),
    "base64 of gzip": encoded(gzip.compress(TEXT.encode())),
    "base64 of xz": encoded(lzma.compress(TEXT.encode())),
    "base64 of zlib": encoded(zlib.compress(TEXT.encode())),
    "base64 after a path": f"data/x/{encoded(TEXT.encode() * 5)}",
    "hexadecimal": TEXT.encode().hex(),
    "hexadecimal of gzip": gzip.compress(TEXT.encode()).hex().upper(),
    "in JSON": json.dumps({"id": 7, "data": encoded(TEXT.encode())}),
    "in a program": f"import base64\nDATA = b'{encoded(TEXT.encode())}'\nprint(DATA)",
    "between lines": f"one\n{wrapped(encoded(TEXT.encode() * 5), 76)}\ntwo",
}


@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_encoded_in_a_text_is_read(layer: str, folder: Path) -> None:
    (folder / "a").write_text(LAYERS[layer])
    texts, coverage = read(folder.parent)
    assert TEXT in texts["w/a"]
    assert (coverage.files, coverage.skipped_files) == (1, 0)


@pytest.mark.parametrize(
    "text", ["ab" * 32, "deadbeef" * 8, encoded(random.Random(2).randbytes(500)), "/usr/lib/python/" * 9]
)
def test_what_encodes_no_text_adds_nothing(text: str, folder: Path) -> None:
    (folder / "a").write_text(text)
    texts, _ = read(folder.parent)
    assert texts["w/a"] == text


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"question": TEXT}),
        bytes(range(256)) * 20 + TEXT.encode() + bytes(100),
        b"\0\1" + TEXT.encode("utf-16-le"),
        b"\0\1" + TEXT.encode("utf-32-le"),
    ],
)
def test_strings_in_a_binary_are_read_and_it_is_counted_all_the_same(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    texts, coverage = read(folder.parent)
    assert TEXT in texts["w/model.safetensors"]
    assert "binary, but for the strings in it" in str(coverage)


def test_an_archive_larger_than_the_cap_is_counted(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abc":
            archive.writestr(name, TEXT * 1000)
    texts, coverage = read(folder.parent, unpacked_bytes=50_000)
    assert set(texts) == {"w/a!a"}
    assert "too large when unpacked" in str(coverage)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}q\x00.", bytes(100), b"PAR1" + b"x" * 50, b"ARROW1" + bytes(50), b"\x1f\x8b" + b"x" * 50,
        gzip.compress(b"x" * 100, mtime=0)[:-12], random.Random(1).randbytes(5000), b"PK\x03\x04" + bytes(10),
        b"\xff\xff\xff\xff" + bytes(60),
    ],
)  # fmt: skip
def test_what_is_not_read_is_counted(content: bytes, folder: Path) -> None:
    (folder / "data.jsonl").write_bytes(content)
    _, coverage = read(folder.parent)
    assert (coverage.files, coverage.skipped_files, coverage.skipped_bytes) == (0, 1, len(content))
    assert "not scanned: 1 files" in str(coverage)


def test_broken_json_is_read_as_it_is(folder: Path) -> None:
    (folder / "a.json").write_text('{"q": "Tom had 45 apples"')
    (folder / "b.jsonl").write_text("[" * 100_000 + "\nTom had 45 apples")
    texts, coverage = read(folder.parent)
    assert all("Tom had 45 apples" in text for text in texts.values())
    assert coverage.skipped_files == 0


def test_links_lend_their_names_and_are_not_followed(folder: Path) -> None:
    (folder / "blobs").mkdir()
    (folder / "snapshots").mkdir()
    (folder / "blobs" / "0a1b").write_text(TEXT)
    (folder / "snapshots" / "test.jsonl").symlink_to("../blobs/0a1b")
    (folder / "passwd").symlink_to("/etc/passwd")
    texts, coverage = read(folder.parent)
    assert set(texts) == {"w/snapshots/test.jsonl"}
    assert coverage.files == 1


def test_large_files_are_counted_not_read(folder: Path) -> None:
    (folder / "sparse").touch()
    os.truncate(folder / "sparse", 50 * 10**9)
    (folder / "bomb").write_bytes(gzip.compress(bytes(10_000_000)))
    (folder / "a").write_text("x" * 100)
    (folder / "b").write_text("y" * 100)
    texts, coverage = read(folder.parent, unpacked_bytes=1_000_000, total_bytes=150)
    assert set(texts) == {"w/a"}
    assert coverage.skipped_files == 3


def test_stretches_overlap_so_that_nothing_falls_between(folder: Path) -> None:
    lines = [f"line number {number} of the file" for number in range(80_000)]
    (folder / "a").write_text("\n".join(lines))
    coverage = Coverage()
    stretches = [
        [number for number, _ in document.pieces] for document in documents(folder.parent, "w", coverage)
    ]
    assert len(stretches) > 5
    assert {number for stretch in stretches for number in stretch} == set(range(1, 80_001))
    assert all(later[0] < earlier[-1] for earlier, later in pairwise(stretches))
    assert all(len(stretch) < 12_000 for stretch in stretches)


def test_one_line_without_end_is_cut(folder: Path) -> None:
    (folder / "a").write_text("word " * 1_000_000)
    coverage = Coverage()
    sizes = [sum(len(t) for _, t in document.pieces) for document in documents(folder.parent, "w", coverage)]
    assert max(sizes) < 600_000
    assert sum(sizes) >= 5_000_000


def test_given_files_can_be_left_out(folder: Path) -> None:
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    coverage = Coverage()
    paths = [document.path for document in documents(folder.parent, "w", coverage, left_out=["w/a"])]
    assert paths == ["w/b"]


def test_a_transcripts_cuts_are_healed(tmp_path: Path) -> None:
    chunks = [TEXT[:7], TEXT[7:20], TEXT[20:], "\nand more"]
    lines = [json.dumps({"at_s": number, "text": chunk}) + "\n" for number, chunk in enumerate(chunks)]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    (document,) = transcript_documents(tmp_path, "t.jsonl", Coverage())
    assert "\n".join(text for _, text in document.pieces) == TEXT + "\nand more"
