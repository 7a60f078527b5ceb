"""Equal files of several runs lie on the disk once, and every run still holds what it held."""

from __future__ import annotations

import random
from pathlib import Path

from posttrainbench.stores.equal_files import LEAST_BYTES, share_equal

WEIGHTS, OTHER = (random.Random(seed).randbytes(LEAST_BYTES) for seed in (0, 1))


def run(folder: Path, content: bytes) -> Path:
    file = folder / "workspace" / "final_model" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_equal_files_become_one_and_others_stay(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", WEIGHTS), run(tmp_path / "b", WEIGHTS)
    other = run(tmp_path / "c", OTHER)
    small = tmp_path / "a" / "small.txt"
    small.write_text("a few words")
    for name in ("a", "b", "c", "a"):
        share_equal(tmp_path / name, tmp_path / "pool")
    assert first.stat().st_ino == second.stat().st_ino != other.stat().st_ino
    assert (first.read_bytes(), second.read_bytes(), other.read_bytes()) == (WEIGHTS, WEIGHTS, OTHER)
    assert small.stat().st_nlink == 1
    assert len(list((tmp_path / "pool").iterdir())) == 2
    assert [file.name for file in second.parent.iterdir()] == ["model.safetensors"]


def test_what_a_link_points_at_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(WEIGHTS)
    inside = run(tmp_path / "a", WEIGHTS)
    (tmp_path / "a" / "link").symlink_to(outside)
    (tmp_path / "a" / "folder").symlink_to(tmp_path)
    share_equal(tmp_path / "a", tmp_path / "pool")
    assert outside.stat().st_nlink == 1
    assert inside.stat().st_nlink == 2
    assert (tmp_path / "a" / "link").is_symlink()
