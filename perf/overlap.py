"""How well the overlap check finds disguised test items, what it flags without reason, and how fast it is.

    python perf/overlap.py [--benchmarks gsm8k,humaneval] [--honest-only | --speed-only] [--json FILE]

Files are written as an agent would leave them and read as an audit reads them. Per benchmark: of how many
test items a copy is found, disguise by disguise (recall), beside a plain set of 13-grams over the same lines;
then honest corpora, of which every flagged document is a false alarm, and more than the tolerated number of
different items would be a false verdict. Last, the speed of both on one file, in bytes per CPU-second, and of
one process and several on a long one.

The real test sets come from the folder that PTB_BENCHMARK_DATA names; what is not there is left out. No text
of an item is printed or kept.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import random
import re
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from posttrainbench.auditing.overlap import supported
from posttrainbench.auditing.passages import Index, build_index
from posttrainbench.auditing.search import Document, Hit, find, search
from posttrainbench.cli.members import benchmark_named
from posttrainbench.errors import PtbError
from posttrainbench.flows.scan import scan as audit_scan
from posttrainbench.protocols import TestItem
from posttrainbench.stores.documents import documents
from posttrainbench.stores.sources import Coverage
from posttrainbench.tinyworld.documents import documents as pretraining
from posttrainbench.tinyworld.world import BENCHMARKS as TINY
from posttrainbench.tinyworld.world import instruct_items

REAL = (
    "gsm8k",
    "mbpp",
    "humaneval",
    "gpqa_main",
    "aime2025",
    "healthbench_easy",
    "arena_hard_writing",
    "bfcl",
)
TOLERATED = 3
MB = 1_000_000

Disguise = Callable[[TestItem, random.Random], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `share` is recall or the share of documents flagged, by us and by plain 13-grams."""

    benchmark: str
    kind: str  # "disguise" or "honest"
    name: str
    documents: int
    found: int
    plain: int
    items: int  # different items found

    @property
    def share(self) -> float:
        return self.found / self.documents


# --- benchmarks and corpora ---------------------------------------------------------------------------------


def data_folder() -> Path:
    return Path(os.environ.get("PTB_BENCHMARK_DATA", "../shared/benchmarks"))


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(data_folder() / "train_side" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def splits(name: str) -> tuple[Sequence[TestItem], Sequence[TestItem]]:
    """The test and the train items of a benchmark; MBPP as its authors split it."""
    if name != "mbpp":
        benchmark = benchmark_named(name)
        return benchmark.items("test"), benchmark.items("train")
    items = [(int(row["task_id"]), row) for row in rows_of("mbpp")]
    made = [(n, TestItem(f"mbpp-{n}", row["text"], row["code"], row["code"])) for n, row in items]
    return [one for n, one in made if 11 <= n <= 510], [one for n, one in made if not 11 <= n <= 510]


def at_hand(names: Iterable[str]) -> dict[str, tuple[Sequence[TestItem], Sequence[TestItem]]]:
    """Name -> test and train items, of the benchmarks whose data are there."""
    os.environ.setdefault("PTB_DATA", str(data_folder().resolve()))
    every = {}
    for name in dict.fromkeys(names):
        try:
            every[name] = splits(name)
        except (PtbError, OSError) as problem:
            print(f"{name} is left out: {problem}", file=sys.stderr)
    return every


def both(items: Iterable[TestItem]) -> list[str]:
    return [f"{item.question}\n{item.answer}" for item in items]


def honest_corpora(
    name: str, every: dict[str, tuple[Sequence[TestItem], Sequence[TestItem]]]
) -> dict[str, list[str]]:
    """What an honest agent may hold, a text per document."""
    _, train = every[name]
    corpora = {"its train split": both(train)} if train else {}
    if name in TINY:
        corpora["the same templates, numbers of its own"] = both(
            TestItem(item.id, item.question, item.answer, item.target)
            for item in instruct_items(name, 6000, seed=3)
        )
    for other, (test, other_train) in every.items():
        if other != name and other not in TINY:
            corpora[f"{other}, train and test"] = [*both(other_train), *both(test)]
    corpora["pre-training documents"] = list(pretraining(2000, seed=5))
    if (data_folder() / "train_side").is_dir():
        corpora["aime 1983 to 2024"] = [row["Question"] for row in rows_of("aime_1983_2024")]
    return corpora


def installed_texts(limit_bytes: int) -> Iterator[str]:
    """Source code and documentation of installed packages, file by file."""
    left = limit_bytes
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*")):
        if (
            path.suffix in (".py", ".md", ".rst", ".txt", ".json")
            and path.is_file()
            and "inspect_evals" not in path.parts
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            yield text
            left -= len(text)
            if left < 0:
                return


# --- disguises ----------------------------------------------------------------------------------------------

LOOK_ALIKES = str.maketrans(
    "aeopcxyAEOPCX", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0410\u0415\u041e\u0420\u0421\u0425"
)
NAMES = ("Aurelio", "Birgit", "Celestine", "Dragomir", "Eulalia", "Fyodor", "Ginevra", "Hroar")
_NUMBER, _WORD, _NAME = (
    re.compile(r"\d+"),
    re.compile(r"[A-Za-z]{2,}"),
    re.compile(r"(?<=[a-z,] )[A-Z][a-z]+"),
)


def rationale(item: TestItem, rng: random.Random) -> str:
    first = rng.choice(("Let me think this through.", "First, note what is given.", "We go step by step."))
    return f"{item.question}\n{first} After a short calculation of my own we have it. Answer: {item.target}"


def other_number(match: re.Match[str], rng: random.Random) -> str:
    low = 10 ** (len(match[0]) - 1)
    return str(rng.randrange(low if low > 1 else 2, low * 10))


def renumbered(item: TestItem, rng: random.Random) -> str:
    return _NUMBER.sub(lambda match: other_number(match, rng), item.question)


def renamed(item: TestItem, rng: random.Random) -> str:
    offset = rng.randrange(len(NAMES))
    names = {
        name: NAMES[(offset + n) % len(NAMES)]
        for n, name in enumerate(dict.fromkeys(_NAME.findall(item.question)))
    }
    text = _WORD.sub(lambda match: names.get(match[0], match[0]), item.question)
    return _NUMBER.sub(lambda match: other_number(match, rng), text)


def substituted(share: float, words: Sequence[str]) -> Disguise:
    """Of the words (not the numbers), this share replaced by random ones."""

    def disguise(item: TestItem, rng: random.Random) -> str:
        return _WORD.sub(lambda match: rng.choice(words) if rng.random() < share else match[0], item.question)

    return disguise


def packed(item: TestItem) -> str:
    return base64.b64encode(gzip.compress(item.question.encode(), mtime=0)).decode()


def disguises(words: Sequence[str]) -> dict[str, Disguise]:
    return {
        "question and reference answer": lambda item, _: f"{item.question}\n{item.answer}",
        "question only": lambda item, _: item.question,
        "question, new rationale": rationale,
        "look-alike characters": lambda item, _: item.question.translate(LOOK_ALIKES),
        "zero-width characters": lambda item, _: "\u200b".join(item.question),
        "base64": lambda item, _: base64.b64encode(item.question.encode()).decode(),
        "base64 of base64": lambda item, _: base64.b64encode(
            base64.b64encode(item.question.encode())
        ).decode(),
        "base64 of gzip": lambda item, _: packed(item),
        "hex": lambda item, _: item.question.encode().hex(),
        "reversed": lambda item, _: item.question[::-1],
        "numbers changed": renumbered,
        "names and numbers changed": renamed,
        "20% of words substituted": substituted(0.2, words),
        "35% of words substituted": substituted(0.35, words),
    }


# --- measuring ----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[a-z0-9]+")


def plain_grams(text: str) -> Iterator[tuple[str, ...]]:
    tokens = _TOKEN.findall(text.lower())
    return zip(*(tokens[start:] for start in range(13)), strict=False)


def plain_set(test: Sequence[TestItem]) -> set[tuple[str, ...]]:
    return {gram for item in test for text in (item.question, item.answer) for gram in plain_grams(text)}


def scan(index: Index, folder: Path) -> list[Hit]:
    return supported(search(index, documents(folder.parent, folder.name, Coverage())), TOLERATED)


def as_lines(texts: Iterable[str]) -> str:
    return "".join(json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n" for text in texts)


def measure_disguises(
    name: str, test: Sequence[TestItem], index: Index, words: Sequence[str]
) -> Iterator[Row]:
    known = plain_set(test)
    scored = {passage.item_id for passage in index.passages if passage.part == "question"}
    items = [item for item in test if item.id in scored]
    for disguise, make in disguises(words).items():
        rng = random.Random(f"{name}/{disguise}")
        texts = [make(item, rng) for item in items]
        plain = sum(any(gram in known for gram in plain_grams(text)) for text in texts)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "workspace").mkdir()
            (Path(folder) / "workspace" / "train.jsonl").write_text(as_lines(texts), encoding="utf-8")
            hits = scan(index, Path(folder) / "workspace")
        # A copy counts as found only where it stands: line n holds item n.
        found = {
            hit.item_id
            for hit in hits
            if _line(hit) <= len(items) and items[_line(hit) - 1].id == hit.item_id
        }
        yield Row(
            name, "disguise", disguise, len(texts), len(found), plain, len({hit.item_id for hit in hits})
        )


def _line(hit: Hit) -> int:
    return int(hit.locator.split()[1])


def measure_honest(
    name: str, test: Sequence[TestItem], index: Index, corpora: dict[str, list[str]]
) -> Iterator[Row]:
    known = plain_set(test)
    for corpus, texts in corpora.items():
        plain = sum(any(gram in known for gram in plain_grams(text)) for text in texts)
        flagged, items = 0, set()
        for number, text in enumerate(texts):  # each by itself: of two alike, both are false alarms
            hits = supported(find(index, Document(corpus, "line", ((number, text),))), TOLERATED)
            flagged += bool(hits)
            items |= {hit.item_id for hit in hits}
        yield Row(name, "honest", corpus, len(texts), flagged, plain, len(items))


def measure_speed(
    name: str, test: Sequence[TestItem], index: Index, texts: Sequence[str], size_mb: int
) -> str:
    """Both scanners over one file of JSON lines, in MB per CPU-second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workspace" / "corpus.jsonl"
        path.parent.mkdir()
        size = 0
        with path.open("w", encoding="utf-8") as file:
            while size < size_mb * MB:
                for start in range(0, len(texts), 64):
                    size += file.write(as_lines(texts[start : start + 64]))
                    if size >= size_mb * MB:
                        break
        size = path.stat().st_size
        known = plain_set(test)
        started = time.process_time()
        with path.open(encoding="utf-8") as lines:
            sum(any(gram in known for gram in plain_grams(line)) for line in lines)
        plain_s = time.process_time() - started
        started = time.process_time()
        scan(index, path.parent)
        ours_s = time.process_time() - started
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours, plain = size / MB / ours_s, size / MB / plain_s
    return (
        f"{name}: {size / MB:.0f} MB of honest text, {ours:.1f} MB per CPU-second, plain 13-gram set "
        f"{plain:.1f}: {ours / plain:.1f} x; peak memory of the whole measurement {peak_mib:.0f} MiB"
    )


def measure_files(index: Index, files: int) -> str:
    """A workspace of tiny files, scanned as an audit does: on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(files):
            if number % 1000 == 0:
                (below := root / "workspace" / f"{number // 1000:04}").mkdir(parents=True)
            (below / f"{number}.txt").write_text(f"sample {number} value {number * 7919 % 100_003}\n")
        (root / "transcript.jsonl").write_text("")
        started, cpu_s = time.monotonic(), time.process_time()
        scanned = audit_scan(index, root, ["workspace"], "transcript.jsonl")
        wall_s, cpu_s = time.monotonic() - started, time.process_time() - cpu_s
    took = f"{wall_s:.0f} s on all cores, {cpu_s:.0f} s of CPU in this process"
    return f"{files} files: {took}; {scanned.coverage}; {_peaks()}"


def measure_processes(name: str, index: Index, texts: Sequence[str], size_mb: int) -> str:
    """One long file, read by one process and by one per core."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "workspace").mkdir()
        (root / "transcript.jsonl").write_text("")
        lines = as_lines(texts)
        with (root / "workspace" / "corpus.jsonl").open("w", encoding="utf-8") as file:
            for _ in range(size_mb * MB // len(lines) + 1):
                file.write(lines)
            size = file.tell()
        walls = []
        for processes in (1, None, 1, None):
            started = time.monotonic()
            audit_scan(index, root, ["workspace"], "transcript.jsonl", processes)
            walls.append(time.monotonic() - started)
    alone, shared = min(walls[::2]), min(walls[1::2])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{name}: {size / MB:.0f} MB in one file, {size / MB / alone:.1f} MB/s by one process, "
        f"{size / MB / shared:.1f} MB/s by {cores}: {alone / shared:.2f} x; {_peaks()}"
    )


def _peaks() -> str:
    ours, theirs = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"peak memory {ours:.0f} MiB here, {theirs:.0f} MiB in the largest process of the pool"


def show(rows: Iterable[Row]) -> list[Row]:
    kept = []
    for row in rows:
        kept.append(row)
        verdict = "  FALSE VERDICT" if row.kind == "honest" and row.items > TOLERATED else ""
        print(
            f"{row.benchmark:19} {row.name:40} {row.found:6} of {row.documents:6} = {row.share:8.2%}   "
            f"13-grams {row.plain / row.documents:8.2%}   items {row.items:5}{verdict}",
            flush=True,
        )
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", default=",".join((*REAL, *TINY)))
    parser.add_argument("--honest-only", action="store_true")
    parser.add_argument("--speed-only", action="store_true")
    parser.add_argument(
        "--installed-mb", type=int, default=20, help="of installed packages' text, as an honest corpus"
    )
    parser.add_argument("--speed-mb", type=int, default=64)
    parser.add_argument("--files", type=int, default=0, help="also scan a workspace of so many tiny files")
    parser.add_argument("--json", type=Path, help="write every figure there")
    chosen = parser.parse_args()
    every = at_hand((*chosen.benchmarks.split(","), *REAL))
    installed = list(installed_texts(chosen.installed_mb * MB))
    rows, speeds = [], []
    for name in chosen.benchmarks.split(","):
        if name not in every:
            continue
        test, train = every[name]
        started = time.process_time()
        index = build_index(test, train)
        indexed_s = time.process_time() - started
        print(f"--- {name}: {len(test)} items, indexed in {indexed_s:.1f} s, {index.unscored} too common")
        words = sorted(
            {
                word
                for text in both(train or every.get("mbpp", ((), ()))[1])[:2000]
                for word in _WORD.findall(text)
            }
        )
        if not chosen.honest_only and not chosen.speed_only:
            rows += show(measure_disguises(name, test, index, words or sorted(NAMES)))
        corpora = honest_corpora(name, every) | {"installed packages": installed}
        if not chosen.speed_only:
            rows += show(measure_honest(name, test, index, corpora))
        if chosen.speed_mb:
            mixed = [text for texts in corpora.values() for text in texts[:4000]]
            random.Random(0).shuffle(mixed)
            speeds.append(measure_speed(name, test, index, mixed, chosen.speed_mb))
            print(speeds[-1], flush=True)
            speeds.append(measure_processes(name, index, mixed, 8 * chosen.speed_mb))
            print(speeds[-1], flush=True)
        if chosen.files:
            speeds.append(measure_files(index, chosen.files))
            print(speeds[-1], flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "speed": speeds}, indent=1))


if __name__ == "__main__":
    main()
