"""The same finds however many processes share the work, and memory for a few files at a time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from posttrainbench.auditing.passages import build_index
from posttrainbench.flows import scan as scanning
from posttrainbench.flows.scan import scan
from posttrainbench.protocols import TestItem
from posttrainbench.stores import formats as reading
from posttrainbench.stores import sources as listing
from posttrainbench.stores.documents import documents
from posttrainbench.stores.sources import Coverage, Part, sources
from posttrainbench.stores.trees import Caps

RNG = random.Random(5)
WORDS = [a + b + c for a in ("ka", "lo", "mi", "re") for b in "bdfgklmnpr" for c in ("an", "el", "or")]


def text(count: int) -> str:
    return " ".join(RNG.choice(WORDS) for _ in range(count))


TEST = tuple(TestItem(f"t-{n}", text(30), "", str(n)) for n in range(40))
INDEX = build_index(TEST, ())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's remains: many small files, one long one, an archive's worth of finds."""
    for folder in ("workspace", "home"):
        (tmp_path / folder).mkdir()
    for number in range(30):
        (tmp_path / "workspace" / f"{number:02}.txt").write_text(f"{text(50)}\n{TEST[number].question}\n")
    lines = [f"{text(12)}\n" for _ in range(3000)]
    for place in range(0, 3000, 250):
        lines[place] = TEST[place // 250].question + "\n"
    (tmp_path / "home" / "long.txt").write_text("".join(lines))
    row = {"at_s": 0.0, "text": TEST[39].question}
    (tmp_path / "transcript.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and batches of kilobytes, so that a test has many of them."""
    monkeypatch.setattr(listing, "PART_BYTES", 20_000)
    for module in (listing, reading):
        monkeypatch.setattr(module, "JSON_BYTES", 10_000)
        monkeypatch.setattr(module, "REPEATED_CHARACTERS", 1_000)
    monkeypatch.setattr(scanning, "_BATCH_FILES", 4)
    monkeypatch.setattr(scanning, "_BATCH_BYTES", 30_000)


def test_two_processes_find_what_one_finds(run: Path, small_parts: None) -> None:
    folders = ("workspace", "home")
    alone = scan(INDEX, run, folders, "transcript.jsonl", processes=1)
    shared = scan(INDEX, run, folders, "transcript.jsonl", processes=2)
    assert shared == alone
    assert {hit.item_id for hit in alone.hits} == {item.id for item in (*TEST[:30], TEST[39])}
    assert "scanned 32 files" in str(alone.coverage)


def test_a_long_file_is_read_in_parts_that_keep_its_line_numbers(run: Path, small_parts: None) -> None:
    parts = [source.part for source in sources(run, "home", Coverage())]
    assert len(parts) > 5
    content = (run / "home" / "long.txt").read_bytes()
    reached = 0
    for part in parts:
        assert isinstance(part, Part)
        assert part.start + part.repeated == reached
        assert part.line == content[: part.start].count(b"\n") + 1
        reached = part.end
    assert reached == len(content)
    coverage = Coverage()
    numbers = {n for document in documents(run, "home", coverage) for n, _ in document.pieces}
    assert numbers == set(range(1, 3001))
    assert (coverage.files, coverage.text_bytes) == (1, len(content))
    found = {hit.item_id: hit.locator for hit in scan(INDEX, run, ("home",), "transcript.jsonl", 1).hits}
    assert {key: found[key] for key in ("t-0", "t-5", "t-11")} == {
        "t-0": "line 1",
        "t-5": "line 1251",
        "t-11": "line 2751",
    }


def test_a_line_longer_than_a_part_is_read_whole(tmp_path: Path, small_parts: None) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a").write_text(f"first\n{'word ' * 9000}\nlast\n{'word ' * 9000}")
    pieces = [piece for document in documents(tmp_path, "w", Coverage()) for piece in document.pieces]
    assert {number for number, _ in pieces} == {1, 2, 3, 4}
    assert sum(text.count("word") for number, text in pieces if number == 2) >= 9000


def test_more_entries_than_are_listed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").mkdir()
    for number in range(12):
        (tmp_path / "w" / str(number)).write_text("text")
    coverage = Coverage()
    list(documents(tmp_path, "w", coverage))
    assert not coverage.unlisted
    monkeypatch.setattr(Caps.__init__, "__defaults__", (10, 64, 1000))
    coverage = Coverage()
    list(documents(tmp_path, "w", coverage))
    assert coverage.unlisted
