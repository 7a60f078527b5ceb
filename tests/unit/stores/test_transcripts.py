"""A transcript and captured calls are read back whole, piece by piece, and in little memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.gateways.calls_file import CallsFile
from posttrainbench.stores.calls import read_calls
from posttrainbench.stores.transcripts import LINE_CHARACTERS, TranscriptWriter, read_lines

MIB = 1024**2


def written(path: Path, chunks: Iterable[bytes]) -> Path:
    with TranscriptWriter(path) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return path


def test_lines_come_back_whatever_the_pieces_were(tmp_path: Path) -> None:
    path = written(tmp_path / "t", [b"one\ntw", b"o\r\n", b"\nthr", "ée".encode()[:2], "ée".encode()[2:]])
    assert [line.text for line in read_lines(path)] == ["one", "two", "", "thrée"]


def test_a_piece_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = written(tmp_path / "t", [b"one\n", b"two\n"])
    path.write_bytes(path.read_bytes() + b'{"at_s": 3, "te')
    assert [line.text for line in read_lines(path)] == ["one", "two"]


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "absent")) == []
    assert list(read_calls(tmp_path / "absent")) == []


def test_reading_can_begin_in_the_middle(tmp_path: Path) -> None:
    path = written(tmp_path / "t", [b"one\nhalf ", b"two\nthree\n", b"four\n"])
    assert [line.text for line in read_lines(path, from_byte=5)] == ["three", "four"]


def test_a_flood_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "t"
    piece = json.dumps({"at_s": 1.0, "text": "x" * 65536}) + "\n"
    with path.open("w") as file:
        for _ in range(1600):  # 100 MB without one newline
            file.write(piece)
    tracemalloc.start()
    (line,) = read_lines(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(line.text) == LINE_CHARACTERS
    assert line.cut_characters == 1600 * 65536 - LINE_CHARACTERS
    assert peak_bytes < 24 * MIB


# --- captured calls -----------------------------------------------------------------------------------------


def kept(path: Path, requests: Iterable[dict[str, Any]], answer: bytes = b"{}") -> Path:
    file = CallsFile(path)
    for request in requests:
        file.keep({"call": file.next_number(), "dialect": "openai-chat", "wall_s": 2.5}, request, answer)
    file.close()
    return path


def test_calls_come_back(tmp_path: Path) -> None:
    path = kept(tmp_path / "c", [{"messages": [number]} for number in range(3)], b"answer")
    calls = list(read_calls(path))
    assert [(call.number, call.request, call.response) for call in calls] == [
        (number + 1, {"messages": [number]}, "answer") for number in range(3)
    ]
    assert (calls[0].dialect, calls[0].wall_s, calls[0].status, calls[0].error) == (
        "openai-chat",
        2.5,
        None,
        "",
    )


def test_a_file_that_was_cut_off_is_read_to_there(tmp_path: Path) -> None:
    path = kept(tmp_path / "c", [{"n": str(n) * 100_000} for n in range(20)])
    whole = path.read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        numbers = [call.number for call in read_calls(path)]
        assert numbers == list(range(1, len(numbers) + 1))
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 1000)
    assert len(list(read_calls(path))) < 20


@pytest.mark.parametrize("cap_bytes", [1 * MIB])
def test_a_few_bytes_that_stand_for_a_hundred_million_are_not_held(tmp_path: Path, cap_bytes: int) -> None:
    path = kept(tmp_path / "c", [{"n": "x" * 100 * MIB}, {"n": "small"}])
    assert path.stat().st_size < MIB
    tracemalloc.start()
    long, short = read_calls(path, cap_bytes)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * MIB
    assert (long.number, long.request, short.request) == (1, {}, {"n": "small"})
    assert "not read" in long.error
