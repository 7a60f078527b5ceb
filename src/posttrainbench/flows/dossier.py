"""Dossier: what a run left -> what a judge reads, chosen within a number of characters.

Covered: a million files and hundreds of megabytes of output are read as streams and chosen from in constant
memory; what is chosen is the beginning, the end, what speaks of tests, answers, models, keys or judges, and a
random part, drawn after the agent had stopped, so that nothing can be buried for certain. Lines that hold a
test item are named by its id and not shown. The agent's name and LLM are not told: a judge judges the run.
Not covered: lines that hold an item too disguised for the overlap check, which are shown as they stand.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from posttrainbench.auditing.passages import Index
from posttrainbench.auditing.search import Document, find
from posttrainbench.budget import MIB
from posttrainbench.finding import CheckReport
from posttrainbench.judgement import Block
from posttrainbench.ledger import LedgerEntry
from posttrainbench.record import FileFact
from posttrainbench.stores.calls import read_calls
from posttrainbench.stores.layers import is_text, unlayered
from posttrainbench.stores.transcripts import read_lines
from posttrainbench.stores.trees import open_regular
from posttrainbench.transcribing.captured import read_captured
from posttrainbench.transcribing.fields import flat, parsed
from posttrainbench.transcript import TranscriptEvent

Pieces = Sequence[tuple[int, str]]

_LINE_CHARACTERS = 2000  # of a line that is shown
_SHARES = {
    "ledger": 0.08,
    "findings": 0.12,
    "files": 0.06,
    "conversation": 0.26,
    "printed": 0.13,
}  # the rest: files
_NAMED_FILES = 2000  # that are looked into before the most telling are chosen
_FILE_BYTES = 1 * MIB  # of a file that is looked into
_READ_BYTES = 256 * MIB  # of all of them
_FILE_CHARACTERS = 9000  # of a file that is shown, at most
_EVIDENCE = 6  # of a finding
_CODE = frozenset(
    {
        ".py",
        ".sh",
        ".ipynb",
        ".md",
        ".txt",
        ".yaml",
        ".yml",
        ".toml",
        ".cfg",
        ".js",
        ".ts",
        ".rs",
        ".go",
        ".c",
        ".cpp",
    }
)
_DATA = frozenset({".json", ".jsonl", ".csv", ".tsv", ".log", ".xml", ".html"})
_ELSEWHERES = frozenset(
    {"site-packages", "node_modules", ".cache", ".git", "__pycache__", ".venv", ".npm", "snapshots"}
)
_MODELS_OWN = frozenset({"tokenizer.json", "vocab.json", "merges.txt", "model.safetensors.index.json"})
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt")
# What a line may speak of; a line counts by how many of these it touches.
_TELLING = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        r"\btests?\b|test[_-]?(set|split|data|items?)|held.?out|benchmark|leak|contaminat",
        r"\beval|score|accura|fail(ed|ing|ure)|wrong answer",
        r"paraphras|rewrit|reword|rephras|renumber|disguis|translat|similar to|mimic|based on the",
        r"instruct|\bchat model|sibling|merge|task.?vector|adapter|lora|distil|from_pretrained|snapshot_down",
        r"api[_-]?key|\bsk-|bearer|secret|token=|openai|anthropic|gemini|/v1/|completions|teacher",
        r"https?://|requests\.|urllib|curl |wget |load_dataset|hf_hub|arxiv|leaderboard|published|github",
        r"judge|review|verdict|audit|grader|integrity|compliance|ignore (all|any|previous)",
        r"base64|zlib|gzip|codecs|rot13|decode\(",
    )
)


@dataclass(frozen=True, slots=True)
class Remains:
    """What a dossier is made of."""

    facts: str  # of the run, by us
    rules: str  # as the agent was told them
    reports: tuple[CheckReport, ...]
    ledger: tuple[LedgerEntry, ...]
    manifest: Path
    given: frozenset[str]  # files that we put there, paths from the attempt's folder
    root: Path  # the attempt's folder
    transcript: Path
    calls: Path
    index: Index
    left_out: re.Pattern[str] | None = None  # printed lines that no judge shall read


def dossier(remains: Remains, characters: int, chance: random.Random) -> tuple[Block, ...]:
    """The blocks of a dossier, ours first."""
    reader = _Reader(remains, characters, chance)
    ours = (
        Block("facts of the run", "record", remains.facts, by_agent=False),
        Block("the rules, as the agent was told them", "workspace/rules.md", remains.rules, by_agent=False),
        Block("what the other checks found", "audit/findings.json", reader.findings(), by_agent=False),
        Block("what went through the gateway", "ledger.jsonl", reader.requests(), by_agent=False),
    )
    files, listing = reader.files()
    return (*ours, *reader.transcripts(), listing, *files)


class _Reader:
    """Chooses from one run's remains."""

    def __init__(self, remains: Remains, characters: int, chance: random.Random) -> None:
        self._remains, self._characters, self._chance = remains, characters, chance
        self._left = characters

    def _share(self, name: str) -> int:
        return int(self._characters * _SHARES[name])

    def _spent(self, text: str) -> str:
        self._left -= len(text)
        return text

    # --- ours ---

    def findings(self) -> str:
        lines = []
        for one in self._remains.reports:
            lines.append(f"{one.check}: {one.status}: {one.reason}")
            for finding in one.findings:
                lines.append(f"  {finding.strength}: {finding.summary}")
                for evidence in finding.evidence[:_EVIDENCE]:
                    item = f", test item {evidence.item_id}" if evidence.item_id else ""
                    lines.append(f"    {evidence.source}, {evidence.locator}{item}: {evidence.detail}")
                if len(finding.evidence) > _EVIDENCE:
                    lines.append(f"    ... and {len(finding.evidence) - _EVIDENCE} more like these")
        return self._spent(_cut(lines, self._share("findings")))

    def requests(self) -> str:
        """The ledger, summed up: requests that are alike once, with how often."""
        counted: Counter[str] = Counter(_told(entry) for entry in self._remains.ledger)
        told = sorted(filter(None, counted), key=lambda line: ("denied" not in line, -counted[line], line))
        lines = [f"{counted[line]} x {line}" for line in told]
        return self._spent(_cut(lines or ["nothing"], self._share("ledger")))

    # --- the agent's ---

    def transcripts(self) -> tuple[Block, ...]:
        """What its LLM was told and said, and what its program printed."""
        ended = {
            number: 0.0
            for entry in self._remains.ledger
            if entry.kind == "model_call" and isinstance(number := entry.data.get("call"), int)
        }
        events = read_captured(read_calls(self._remains.calls), ended)
        spoken = self._excerpt(_event_lines(events), self._share("conversation"), "calls")
        printed = _printed_lines(self._remains.transcript, self._remains.left_out)
        # Without an LLM behind the gateway, what was printed is all there is.
        share = self._share("printed") + (0 if spoken else self._share("conversation"))
        return tuple(
            Block(title, source, self._spent(text))
            for title, source, text in (
                ("its conversation with its LLM, as the gateway carried it", "calls.jsonl.zst", spoken),
                ("what its program printed", "transcript.jsonl", self._excerpt(printed, share, "transcript")),
            )
            if text
        )

    def files(self) -> tuple[list[Block], Block]:
        """Excerpts of the most telling files, and the list of all."""
        facts = _Listed(self._remains.manifest)
        interesting = [
            fact for fact in heapq.nlargest(_NAMED_FILES, facts, key=self._promise) if self._readable(fact)
        ]
        listing = Block(
            "the files that it left", "manifest.jsonl", self._spent(facts.told(self._share("files")))
        )
        blocks: list[Block] = []
        for fact in self._most_telling(interesting):
            if self._left < _LINE_CHARACTERS:
                break
            text = self._excerpt(self._lines_of(fact), min(_FILE_CHARACTERS, self._left), fact.path)
            if text:
                blocks.append(Block(f"file of {fact.size_bytes} bytes", fact.path, self._spent(text)))
        return blocks, listing

    def _readable(self, fact: FileFact) -> bool:
        return (
            fact.kind == "file"
            and fact.size_bytes > 0
            and fact.path not in self._remains.given
            and not fact.path.endswith(_WEIGHTS)
            and PurePosixPath(fact.path).name not in _MODELS_OWN
        )

    def _promise(self, fact: FileFact) -> tuple[int, int, float]:
        """How much a file promises by its name and place; chance decides among equals."""
        path = PurePosixPath(fact.path)
        kind = 3 if path.suffix in _CODE else 2 if path.suffix in _DATA else 1
        if not self._readable(fact) or _ELSEWHERES & set(path.parts):
            kind = 0
        return kind, -len(path.parts), self._chance.random()

    def _most_telling(self, facts: Sequence[FileFact]) -> list[FileFact]:
        """The files by what their lines touch, those that other checks name first."""
        named = {e.source for report in self._remains.reports for f in report.findings for e in f.evidence}
        left_bytes = _READ_BYTES
        ranked = []
        for order, fact in enumerate(facts):
            if left_bytes <= 0:
                break
            left_bytes -= min(fact.size_bytes, _FILE_BYTES)
            touched: set[int] = set()
            for _, line in self._lines_of(fact):
                touched |= {n for n, words in enumerate(_TELLING) if n not in touched and words.search(line)}
            ranked.append((fact.path not in named, -len(touched), order, fact))
        return [fact for *_, fact in sorted(ranked, key=lambda one: one[:3])]

    def _lines_of(self, fact: FileFact) -> Iterator[tuple[int, str]]:
        """The first `_FILE_BYTES` of a text file by lines; nothing of anything else."""
        try:
            with open_regular(self._remains.root, fact.path) as file:
                content = file.read(_FILE_BYTES)
        except OSError:
            return
        if is_text(content[:8192]):
            lines = content.decode("utf-8", "replace").split("\n")
            yield from ((number, line[:_LINE_CHARACTERS]) for number, line in enumerate(lines, 1))

    def _excerpt(self, lines: Iterable[tuple[int, str]], characters: int, path: str) -> str:
        """The most telling lines in order, numbered, gaps shown, test items withheld."""
        chosen = choose(lines, characters, self._chance)
        shown, last = [], 0
        for number, line in withheld(chosen, self._remains.index, path):
            if number > last + 1:
                shown.append("[...]" if last == number else f"[... to {number - 1}]")
            shown.append(f"{number}: {line}")
            last = number
        return "\n".join(shown)


class _Listed:
    """The entries of a manifest as a stream that counts on its way."""

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest
        self._count = self._bytes = 0
        self._folders: Counter[str] = Counter()
        self._first: list[str] = []
        self._characters = 0

    def __iter__(self) -> Iterator[FileFact]:
        from posttrainbench.stores.codec import from_json

        with self._manifest.open(encoding="utf-8") as lines:
            for line in lines:
                fact = from_json(FileFact, line, self._manifest.name)
                self._note(fact)
                yield fact

    def _note(self, fact: FileFact) -> None:
        self._count += 1
        self._bytes += fact.size_bytes
        folder = "/".join(fact.path.split("/")[:3][:-1])
        if folder in self._folders or len(self._folders) < 1000:
            self._folders[folder] += 1
        told = f"{fact.size_bytes:>12} {fact.path[:300]} {fact.note[:100]}".rstrip()
        if self._characters < 100_000:
            self._characters += len(told) + 1
            self._first.append(told)

    def told(self, characters: int) -> str:
        """Counts, then names with sizes, as many as fit."""
        folders = ", ".join(f"{folder[:100]} ({count})" for folder, count in self._folders.most_common(12))
        head = [f"{self._count} entries, {self._bytes} bytes; most in: {folders}"]
        return _cut(head + self._first, characters)


# --- choosing -----------------------------------------------------------------------------------------------


def choose(lines: Iterable[tuple[int, str]], characters: int, chance: random.Random) -> Pieces:
    """The beginning, the end, telling lines and random ones of a stream, in order, in constant memory.

    A stream that fits is chosen whole.
    """
    part = characters // 4
    source = iter(lines)
    head, rest = _head(source, part)
    tail: deque[tuple[int, str]] = deque()
    tail_size = 0
    telling: list[tuple[int, int, str]] = []  # a heap of (how telling, -number, line)
    telling_size = 0
    drawn: list[tuple[float, int, str]] = []  # a heap of (lot, number, line)
    drawn_size = 0
    seen: set[int] = set()
    for number, line in chain(rest, source):
        tail.append((number, line))
        tail_size += len(line) + 8
        while tail_size > part and len(tail) > 1:
            gone, gone_line = tail.popleft()
            tail_size -= len(gone_line) + 8
            told = sum(words.search(gone_line) is not None for words in _TELLING)
            digest = hash(gone_line)
            if told and digest not in seen:
                if len(seen) < 100_000:  # a line that comes again tells nothing new
                    seen.add(digest)
                heapq.heappush(telling, (told, -gone, gone_line))
                telling_size += len(gone_line) + 8
                while telling_size > part and len(telling) > 1:
                    telling_size -= len(heapq.heappop(telling)[2]) + 8
            heapq.heappush(drawn, (chance.random(), gone, gone_line))
            drawn_size += len(gone_line) + 8
            while drawn_size > part and len(drawn) > 1:
                drawn_size -= len(heapq.heappop(drawn)[2]) + 8
    chosen = (
        dict(head) | {-n: line for _, n, line in telling} | {n: line for _, n, line in drawn} | dict(tail)
    )
    return sorted(chosen.items())


def _head(
    source: Iterator[tuple[int, str]], characters: int
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Lines until there are so many characters, and the line that was one too many."""
    head: list[tuple[int, str]] = []
    size = 0
    for number, line in source:
        size += len(line) + 8
        if size > characters and head:
            return head, [(number, line)]
        head.append((number, line))
    return head, []


def withheld(pieces: Pieces, index: Index, path: str) -> Pieces:
    """The pieces with those that hold test items replaced by the items' ids; encoded items too."""
    items = _items_in(pieces, index, path)
    if not items:
        return list(pieces)
    if len(pieces) == 1:
        return [(pieces[0][0], f"[withheld: test item {', '.join(items)}]")]
    middle = len(pieces) // 2
    parts = [*withheld(pieces[:middle], index, path), *withheld(pieces[middle:], index, path)]
    while items := _items_in(parts, index, path):  # it stands in lines of both halves
        first = _last(lambda at: bool(_items_in(parts[at:], index, path)), len(parts))
        held = parts[first:]
        cut = _last(lambda cut, held=held: bool(_items_in(held[: len(held) - cut], index, path)), len(held))  # type: ignore[misc]
        count = len(held) - cut
        note = f"[{count} lines withheld: test item {', '.join(items)}]"
        parts[first : first + count] = [(parts[first][0], note)]
    return parts


def _last(holds: Callable[[int], bool], end: int) -> int:
    """The greatest number below `end` for which `holds` does, which holds for 0."""
    low, high = 0, end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _items_in(pieces: Pieces, index: Index, path: str) -> list[str]:
    read = Document(path, "line", tuple(unlayered(pieces)))
    return sorted({hit.item_id for hit in find(index, read)})


# --- lines --------------------------------------------------------------------------------------------------


def _event_lines(events: Iterable[TranscriptEvent]) -> Iterator[tuple[int, str]]:
    """The lines of events, each numbered by its event's place and marked by its kind."""
    number = 0
    for one in events:
        for line in one.text.split("\n"):
            if line.strip():
                number += 1
                yield number, f"[{one.kind}{f' {one.tool}' if one.tool else ''}] {line[:_LINE_CHARACTERS]}"


def _printed_lines(transcript: Path, left_out: re.Pattern[str] | None) -> Iterator[tuple[int, str]]:
    """What the program printed; lines of JSON as the texts in them."""
    for number, line in enumerate(read_lines(transcript), 1):
        if left_out is not None and left_out.search(line.text):
            continue
        value = parsed(line.text)
        yield number, (line.text if value is None else flat(value))[:_LINE_CHARACTERS]


def _told(entry: LedgerEntry) -> str:
    """A ledger entry in a line that like entries share; empty when it is not about the agent."""
    tell = _TELLERS.get(entry.kind)
    return "" if tell is None else f"{entry.kind}: {tell(entry)}"[:_LINE_CHARACTERS]


def _fields(*names: str) -> Callable[[LedgerEntry], str]:
    def tell(entry: LedgerEntry) -> str:
        return ", ".join(
            f"{name} {entry.data[name]}" for name in names if entry.data.get(name) not in (None, "")
        )

    return tell


def _request(entry: LedgerEntry) -> str:
    asked = _fields("decision", "method", "host", "repo_type", "repo_id", "file")(entry)
    where = "" if entry.data.get("repo_id") else _fields("path")(entry)
    why = _fields("reason")(entry) if entry.data.get("decision") == "denied" else ""
    return ", ".join(filter(None, (asked, where[:300], why)))


_TELLERS: dict[str, Callable[[LedgerEntry], str]] = {
    "request": _request,
    "evaluation": _fields("score", "n", "error"),
    "model_call": _fields("api", "model", "status", "provider_tools"),
    "signal": _fields("what", "why"),
    "limit": _fields("what"),
    "outage": _fields("api", "state"),
}


def _cut(lines: Sequence[str], characters: int) -> str:
    """As many lines as fit, and how many do not."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > characters and kept:
            kept.append(f"... {len(lines) - len(kept)} more lines")
            break
        kept.append(line)
    return "\n".join(kept)
