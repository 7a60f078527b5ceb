"""Nothing of the true test sets stands in any file of the repository.

Whatever the sets hold as text is looked for: questions, answers, choices, rubrics, programs. A hit is
thirteen words in a row, as is usual in searches for contamination, or all of a text of eleven or twelve;
case, punctuation and line breaks do not matter. Only files and counts are ever printed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from posttrainbench.benchmarks.gpqa_main import MEMBER
from posttrainbench.datasets.catalog import ALL, DataFile
from posttrainbench.datasets.folder import _unzipped, content_of, find

PROJECT = Path(__file__).parents[1]
RUN = 13
SHORTEST = 11  # shorter texts are phrases that anybody may write
LETTERED = 5  # different words with letters that a run must hold
TRAIN = {"gsm8k/train.jsonl"}  # fair game for everyone

_WORD = re.compile(r"\w+")
_PRINTED = re.compile(rb"[\t\n\r\x20-\x7e]{40,}")  # what in a file of numbers could be read


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def is_telling(run: list[str]) -> bool:
    return sum(not word.isdigit() for word in set(run)) >= LETTERED


def runs_of(words: list[str]) -> Iterator[tuple[int, int, int]]:
    """Every run of a text that would give it away: its length, a number for its beginning, one for all."""
    length = min(RUN, len(words))
    for start in range(len(words) - length + 1 if length >= SHORTEST else 0):
        run = words[start : start + length]
        if is_telling(run):
            yield length, hash(tuple(run[:SHORTEST])), hash(tuple(run))


def hits(texts: Mapping[str, Iterable[str]], files: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Set -> file -> how many runs of words of that file stand in the set."""
    owner: dict[int, str] = {}
    lengths: dict[int, set[int]] = {}  # beginning -> how long runs that begin so are
    for name, mine in texts.items():
        for text in mine:
            for length, beginning, whole in runs_of(words_of(text)):
                owner[whole] = name
                lengths.setdefault(beginning, set()).add(length)
    found: dict[str, Counter[str]] = {}
    for file, content in files.items():
        words = words_of(content)
        for start in range(len(words) - SHORTEST + 1):
            for length in lengths.get(hash(tuple(words[start : start + SHORTEST])), ()):
                name = owner.get(hash(tuple(words[start : start + length])))
                if name is not None:
                    found.setdefault(name, Counter())[file] += 1
    return found


def texts_in(file: DataFile, folder: Path) -> set[str]:
    """Every text of a file of the catalogue, however deep."""
    path = find(file, folder)
    assert path is not None
    if file.name.endswith(".zip"):
        rows: Iterable[object] = csv.DictReader(io.StringIO(_unzipped(file, MEMBER, folder), newline=""))
    else:
        rows = (json.loads(line) for line in content_of(file, path).splitlines())
    return {text for row in rows for text in leaves(row)}


def leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)


@pytest.fixture(scope="module")
def texts(real_data: Path) -> dict[str, set[str]]:
    """Benchmark -> every text of its test set."""
    return {
        name: {text for file in data.files if file.name not in TRAIN for text in texts_in(file, real_data)}
        for name, data in ALL.items()
    }


def tracked() -> dict[str, str]:
    """File -> its text, of every file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=False, capture_output=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (PROJECT / name).is_file()]
    if not names:
        pytest.skip("needs the files of a git checkout")
    return {name: text_of((PROJECT / name).read_bytes()) for name in names}


def text_of(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return b"\n".join(_PRINTED.findall(content)).decode("ascii")


def test_no_tracked_file_holds_a_test_item(texts: dict[str, set[str]]) -> None:
    found = hits(texts, tracked())
    assert found == {}


@pytest.mark.parametrize("benchmark", sorted(ALL))
def test_a_planted_item_is_found_however_it_is_wrapped(texts: dict[str, set[str]], benchmark: str) -> None:
    """A tenth of every set, each in a file of its own: plain, in capitals with a word to a line, in bytes."""
    mine = [text for text in sorted(texts[benchmark]) if any(runs_of(words_of(text)))][::10]
    ways = {
        "plain": [f"Once.\n> {text}\nThe end." for text in mine],
        "wrapped": ["# " + "\n#  ".join(text.upper().split()) for text in mine],
        "bytes": [text_of(b"\xff\x00" + text.encode() + b"\x00\xff") for text in mine if text.isascii()],
    }
    for way, contents in ways.items():
        files = {str(n): content for n, content in enumerate(contents)}
        found = hits({benchmark: mine}, {**files, "clean": "nothing of the kind is written in here " * 20})
        missed = len(contents) - len(found.get(benchmark, {}))
        assert missed <= len(contents) // 20, f"{way}: {missed} of {len(contents)} not found"
        assert "clean" not in found.get(benchmark, {})
    assert len(mine) >= 3
