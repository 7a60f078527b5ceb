"""Progress is read from output that anybody could have written: only our lines count, wherever cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.flows.sample_progress import Progress, ProgressReader

LINES = "".join(f"{Progress(done, 5).line}\n" for done in range(1, 6)).encode()


def read(pieces: list[bytes]) -> list[Progress]:
    heard: list[Progress] = []
    reader = ProgressReader(heard.append)
    for piece in pieces:
        reader.read(piece)
    return heard


@given(st.lists(st.integers(0, len(LINES)), max_size=8))
def test_lines_are_found_wherever_the_output_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(LINES)]
    pieces = [LINES[a:b] for a, b in itertools.pairwise(places)]
    assert read(pieces) == [Progress(done, 5) for done in range(1, 6)]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_other_output_is_passed_over(pieces: list[bytes]) -> None:
    heard = read([piece.replace(b"ptb-progress", b"") for piece in pieces] + [b"\n" + LINES])
    assert heard == [Progress(done, 5) for done in range(1, 6)]


def test_a_line_that_claims_more_than_there_is_does_not_count() -> None:
    assert read([b"ptb-progress 6/5\nptb-progress 1/0\nptb-progress -1/5\nptb-progress 1/5 and more\n"]) == []


def test_an_endless_line_takes_no_memory() -> None:
    reader = ProgressReader(lambda _: None)
    for _ in range(1000):
        reader.read(b"x" * 10_000)
    assert len(reader._rest) <= 200
