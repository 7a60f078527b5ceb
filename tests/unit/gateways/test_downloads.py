"""What a hub handed out is kept once and whole, but for weights, as far as there is room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from posttrainbench.gateways.downloads import Downloads
from posttrainbench.gateways.request_log import Exchange
from posttrainbench.ledger import Scalar

EXCHANGE = Exchange(
    "GET", "hub", "/datasets/a/b/resolve/main/data/x.jsonl", 206, "allowed", "", bytes_out=3, call="file",
    repo_type="dataset", repo_id="a/b", revision="main", commit="c0", file="data/x.jsonl",
)  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "hub-file"
    path.write_bytes(b"0123456789")
    return path


def nothing(_kind: str, _data: Mapping[str, Scalar]) -> None:
    raise AssertionError("nothing was to be logged")


def test_a_part_that_went_out_keeps_the_whole_file(source: Path, tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "kept", nothing)
    downloads.keep(EXCHANGE, source)
    downloads.keep(EXCHANGE, source)
    assert (tmp_path / "kept/a/b/c0/data/x.jsonl").read_bytes() == b"0123456789"


def test_weights_are_left_out_of_models_alone(source: Path, tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "kept", nothing)
    downloads.keep(replace(EXCHANGE, repo_type="model", file="model.safetensors"), source)
    downloads.keep(replace(EXCHANGE, file="model.safetensors"), source)  # a data set's: nobody compares it
    assert [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()] == ["model.safetensors"]


def test_without_a_folder_nothing_is_kept(source: Path) -> None:
    Downloads(None, nothing).keep(EXCHANGE, source)


def test_what_finds_no_room_is_on_the_ledger(source: Path, tmp_path: Path) -> None:
    told: list[tuple[str, Mapping[str, Scalar]]] = []
    downloads = Downloads(tmp_path / "kept", lambda kind, data: told.append((kind, data)), room_bytes=15)
    downloads.keep(EXCHANGE, source)
    downloads.keep(replace(EXCHANGE, file="data/y.jsonl"), source)
    assert told == [("download_not_kept", {"repo_id": "a/b", "file": "data/y.jsonl"})]
    assert not (tmp_path / "kept/a/b/c0/data/y.jsonl").exists()
