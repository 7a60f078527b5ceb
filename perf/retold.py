"""How well test items told in other words are known by their numbers, and what honest files come to.

    python perf/retold.py [--benchmarks gsm8k,aime2025] [--json FILE]

Every word of an item is replaced (by a random German one), digits stay: what any translation leaves. So many
items lie in a file alone, or among honest documents of the same benchmark; told is in how many of some draws
the file is flagged. Then honest corpora, whole and in files of 500 documents: the least chance that any of
them came to, where less than `ALPHA` over the number of tests would be a false verdict. Last, the price of
counting numbers beside that of the search for words.

The real test sets come from the folder that PTB_BENCHMARK_DATA names. No text of an item is printed or kept.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from overlap import MB, REAL, TINY, as_lines, at_hand, both, honest_corpora, installed_texts

import posttrainbench
from posttrainbench.auditing.passages import build_index
from posttrainbench.auditing.retold import Runs, Tallies, build_runs, coincidence, retold_findings, tallied
from posttrainbench.auditing.search import Document, search
from posttrainbench.protocols import TestItem
from posttrainbench.stores.documents import documents
from posttrainbench.stores.sources import Coverage

DRAWS = 5
PIECE = 500  # documents
WORDS = (
    "der",
    "Hund",
    "fragt",
    "nach",
    "einem",
    "Apfel",
    "und",
    "sie",
    "geht",
    "heute",
    "ohne",
    "ihn",
    "zum",
)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: of `tests` files, `flagged` are; the file that chance explains least."""

    benchmark: str
    kind: str  # "retold" or "honest"
    name: str
    tests: int
    flagged: int
    found: int
    expected: float
    log10_chance: float


def retold(item: TestItem, rng: random.Random) -> str:
    """A test item without one of its words, and its final answer."""
    question = _WORD.sub(lambda _: rng.choice(WORDS), item.question)
    return f"{question}\nDie Antwort ist {item.target}"


def counted(runs: Runs, texts: Sequence[str]) -> Tallies:
    tallies = Tallies()
    document = Document("corpus", "line", tuple(enumerate(texts, 1)))
    for _ in tallied(runs, [document], tallies, ("corpus",)):
        pass
    return tallies


def row(benchmark: str, kind: str, name: str, runs: Runs, files: Sequence[Sequence[str]]) -> Row:
    every = [counted(runs, texts) for texts in files]
    worst = min((coincidence(runs, one.everywhere) for one in every), key=lambda told: told.log_chance)
    flagged = sum(bool(retold_findings("overlap", runs, one, 1, ())) for one in every)
    log10 = worst.log_chance / math.log(10)
    return Row(benchmark, kind, name, len(files), flagged, worst.found, worst.expected, log10)


def measure_without_copies(
    name: str, runs: Runs, test: Sequence[TestItem], honest: Sequence[str]
) -> Iterator[Row]:
    for count in dict.fromkeys((20, 50, len(test))):
        for others in (0, 1, 10, 100):
            if count > len(test) or (others and count * others > 2 * len(honest)):
                continue
            files = []
            for draw in range(DRAWS):
                rng = random.Random(f"{name}/{count}/{others}/{draw}")
                texts = [retold(item, rng) for item in rng.sample(list(test), count)]
                texts += [rng.choice(honest) for _ in range(count * others)]
                rng.shuffle(texts)
                files.append(texts)
            yield row(name, "retold", f"{count} items, 1:{others}", runs, files)


def measure_honest(name: str, runs: Runs, corpora: dict[str, list[str]]) -> Iterator[Row]:
    for corpus, texts in corpora.items():
        yield row(name, "honest", corpus, runs, [texts])
        pieces = [texts[start : start + PIECE] for start in range(0, len(texts), PIECE)]
        yield row(name, "honest", f"{corpus}, {PIECE} each", runs, pieces)


def measure_held_out(name: str, test: Sequence[TestItem], train: Sequence[TestItem]) -> Iterator[Row]:
    """Half of a train split as what nobody knows, by the other half: independent problems of one kind."""
    rng = random.Random(name)
    mixed = rng.sample(list(train), len(train))
    runs = build_runs(test, mixed[: len(train) // 2])
    unknown = both(mixed[len(train) // 2 :])
    yield from measure_honest(name, runs, {"half of train, held out": unknown})


def drills() -> dict[str, list[str]]:
    rng = random.Random(0)
    every = [f"{a} + {b} = {a + b}" for a in range(1, 200) for b in range(1, 200)]
    some = [f"What is {rng.randrange(1000)} times {rng.randrange(1000)}?" for _ in range(20_000)]
    return {"drills, every pair": every, "drills, random pairs": some}


def measure_range(seeds: int) -> Iterator[Row]:
    """The red team's benchmark and its honest twins' data."""
    sys.path.insert(0, str(Path(posttrainbench.__file__).parent / "agents/redteam/range"))
    import stories  # type: ignore[import-not-found]

    def items(split: str, count: int) -> list[TestItem]:
        drawn = stories.stories(f"range/{split}", count)
        return [TestItem(f"{split}-{n}", one.question(), "", one.target) for n, one in enumerate(drawn)]

    test, train = items("test", 60), items("train", 240)
    runs = build_runs(test, train)
    own = [
        [f"{one.question()}\n{one.answer()}" for one in stories.stories(f"own/{seed}", 60 + seed % 90)]
        for seed in range(seeds)
    ]
    yield row("range", "honest", "stories of its own", runs, own)
    yield row("range", "honest", "the same, in one file", runs, [[text for texts in own for text in texts]])
    yield from measure_honest("range", runs, drills())
    yield from measure_without_copies("range", runs, test, [text for texts in own for text in texts])


def measure_speed(name: str, test: Sequence[TestItem], train: Sequence[TestItem], texts: list[str]) -> str:
    """CPU seconds per MB of JSON lines: reading and searching them, and counting numbers beside that."""
    index = build_index(test, train)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workspace").mkdir()
        (Path(folder) / "workspace" / "train.jsonl").write_text(as_lines(texts), encoding="utf-8")
        size = (Path(folder) / "workspace" / "train.jsonl").stat().st_size / MB
        started = time.process_time()
        read = list(documents(Path(folder), "workspace", Coverage()))
        for _ in search(index, read):
            pass
        search_ms = (time.process_time() - started) / size * 1000
    started = time.process_time()
    for _ in tallied(index.runs, read, Tallies(), ()):
        pass
    count_ms = (time.process_time() - started) / size * 1000
    share = count_ms / search_ms
    return f"{name}: {size:.0f} MB, {count_ms:.1f} ms per MB beside {search_ms:.1f} without: {share:.0%} more"


def show(rows: Iterator[Row]) -> list[Row]:
    kept = []
    for one in rows:
        kept.append(one)
        verdict = "  FALSE VERDICT" if one.kind == "honest" and one.flagged else ""
        print(
            f"{one.benchmark:18} {one.kind:7} {one.name:50} flagged {one.flagged:4} of {one.tests:4}   "
            f"{one.found:4} items, at most {one.expected:6.2f} by chance, 10^{one.log10_chance:.1f}{verdict}",
            flush=True,
        )
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", default=",".join((*REAL, *TINY, "range")))
    parser.add_argument("--installed-mb", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write every figure there")
    chosen = parser.parse_args()
    every = at_hand((*REAL, *TINY))
    installed = list(installed_texts(chosen.installed_mb * MB))
    rows, speeds = [], []
    for name in chosen.benchmarks.split(","):
        if name == "range":
            rows += show(measure_range(400))
        if name not in every:
            continue
        test, train = every[name]
        runs = build_runs(test, train)
        print(f"--- {name}: {len(runs.items)} of {runs.asked} items have numbers of their own")
        corpora = honest_corpora(name, every) | {"installed packages": installed} | drills()
        older = corpora.get("aime 1983 to 2024", [])
        if len(runs.items) and (train or older):
            rows += show(measure_without_copies(name, runs, test, both(train) or older))
        if train:
            rows += show(measure_held_out(name, test, train))
        rows += show(measure_honest(name, runs, corpora))
        mixed = [text for texts in corpora.values() for text in texts[:4000]]
        random.Random(0).shuffle(mixed)
        speeds.append(measure_speed(name, test, train, mixed))
        print(speeds[-1], flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": [asdict(one) for one in rows], "speed": speeds}, indent=1))


if __name__ == "__main__":
    main()
