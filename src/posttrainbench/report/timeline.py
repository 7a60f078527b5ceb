"""Ledger entries -> what happened, in order, one line per thing that a person would want to know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from posttrainbench.ledger import LedgerEntry
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import points
from posttrainbench.transcribing.work import models_used

QUIET, PLAIN, LOUD = "quiet", "plain", "loud"
FILES_NAMED = 6
LOOKED = ("looked",)  # requests to the hub that fetched no file


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline."""

    at_s: float | None  # since the run's first entry; None: the entry's time cannot be read
    kind: str  # "stage", "download", "denied", "evaluation", ...
    text: str
    emphasis: str  # QUIET, PLAIN or LOUD
    entry: int  # index in the ledger
    count: int = 1  # how often it happened in a row


def timeline(entries: Sequence[LedgerEntry]) -> list[Event]:
    """The noteworthy events; requests that only looked around are counted, repeated ones told once."""
    looked = [entry for entry in entries if _family(entry) == LOOKED]
    events: list[Event] = []
    for group in _groups(entry for entry in entries if entry not in looked[1:]):
        event = _event(group, entries, len(looked))
        last = events[-1] if events else None
        if event and last and (last.kind, last.text) == (event.kind, event.text):
            events[-1] = replace(last, count=last.count + event.count)
        elif event:
            events.append(event)
    return events


def _elapsed_s(first: LedgerEntry, now: LedgerEntry) -> float | None:
    started, at = _time(first), _time(now)
    return None if started is None or at is None else (at - started).total_seconds()


def _time(entry: LedgerEntry) -> datetime | None:
    try:
        return datetime.fromisoformat(entry.at_utc)
    except ValueError:
        return None


def _groups(entries: Iterable[LedgerEntry]) -> Iterator[list[LedgerEntry]]:
    """Downloads in a row from one repository are one event, and so are equal requests in a row."""
    group: list[LedgerEntry] = []
    for entry in entries:
        if group and (_family(entry) is None or _family(entry) != _family(group[0])):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _family(entry: LedgerEntry) -> tuple[str, ...] | None:
    """What an entry may be told together with; None: it stands alone."""
    if entry.kind == "model_call":
        went_well = entry.data.get("status") == 200 and not _text(entry, "error")
        return ("model_call", _text(entry, "model")) if went_well else None
    if entry.kind != "request" or _text(entry, "decision") == "denied":
        return None
    if not _text(entry, "repo_type"):
        return ("foreign", _text(entry, "host"), _text(entry, "path"))
    if _is_download(entry):
        return ("download", _text(entry, "repo_type"), _text(entry, "repo_id"), _text(entry, "revision"))
    return LOOKED


def _is_download(entry: LedgerEntry) -> bool:
    status = entry.data.get("status")
    went_well = isinstance(status, int) and status < 300
    return _text(entry, "method") == "GET" and bool(_text(entry, "file")) and went_well


def _event(group: list[LedgerEntry], entries: Sequence[LedgerEntry], looked: int) -> Event | None:
    first = group[0]
    at_s = _elapsed_s(entries[0], first)
    if first.kind == "request":
        return _request_event(group, at_s, looked)
    if first.kind == "model_call":
        return Event(at_s, first.kind, *_model_calls(group), first.index)
    told = _told(first, entries)
    return Event(at_s, first.kind, *told, first.index) if told else None


def _told(entry: LedgerEntry, entries: Sequence[LedgerEntry]) -> tuple[str, str] | None:
    """What an entry that is no request says, and how loud; None: nothing that needs telling."""
    match entry.kind:
        case "stage":
            return _stage(entry, entries)
        case "attempt":
            number = _text(entry, "number")
            return None if number == "1" else (f"attempt {number} takes over", PLAIN)
        case "evaluation" | "overlap_check":
            return _evaluation(entry) if entry.kind == "evaluation" else _overlap_check(entry)
        case "clock" | "turn":
            return _clock(entry) if entry.kind == "clock" else _turn(entry)
        case "signal" | "limit" | "request_flood" | "canary":
            return _alarm(entry), LOUD
    return _pairs(entry), PLAIN


_TURNS = {
    "resume": "told to go on",
    "fresh_start": "started afresh: a new session, since its LLM had given no answer",
}


def _turn(entry: LedgerEntry) -> tuple[str, str] | None:
    """How an agent went on that had stopped, and how each of its turns ended; its first start is no news."""
    number, event, how = (_text(entry, key) for key in ("number", "event", "how"))
    if event == "start":
        return (f"turn {number}: {_TURNS[how]}", PLAIN) if how in _TURNS else None
    reason = _text(entry, "reason")
    ended = (
        f"turn {number} ended: {_text(entry, 'end').replace('_', ' ')}, status {_text(entry, 'exit_code')}"
    )
    idle = ", having changed nothing" if entry.data.get("idle") is True else ""
    return f"{ended}{idle}{f': {reason}' if reason else ''}", QUIET if not reason else PLAIN


def _stage(entry: LedgerEntry, entries: Sequence[LedgerEntry]) -> tuple[str, str] | None:
    """A stage is told where it starts, with how long it took; its end is not told again."""
    stage, event, attempt = (_text(entry, key) for key in ("stage", "event", "attempt"))
    if event == "publish":
        return f"{stage}: published record {_text(entry, 'record')}", PLAIN
    if event != "start":
        return None
    ends = (e for e in entries if e.kind == "stage" and e.index > entry.index)
    end = next(
        (
            e
            for e in ends
            if (_text(e, "stage"), _text(e, "event"), _text(e, "attempt")) == (stage, "end", attempt)
        ),
        None,
    )
    if end is None:
        return f"{stage}: began and did not end", LOUD
    wall_s = end.data.get("wall_s")
    took = f" ({wall_s:.1f} s)" if isinstance(wall_s, int | float) else ""
    return f"{stage}{took}", PLAIN


def _clock(entry: LedgerEntry) -> tuple[str, str] | None:
    """Told only when the calendar's clock jumped: the host was suspended, say."""
    moved_s = entry.data.get("deadline_moved_s")
    if not isinstance(moved_s, int | float) or not moved_s:
        return None
    return f"the deadline moved by {moved_s:.0f} s: the host was suspended, or its clock was set", PLAIN


def _evaluation(entry: LedgerEntry) -> tuple[str, str]:
    score, stderr, n = (entry.data.get(key) for key in ("score", "stderr", "n"))
    path = _text(entry, "path")
    if not isinstance(score, int | float):
        return f"{path}: no score: {_text(entry, 'error') or 'no reason given'}", PLAIN
    spread = f" ± {points(stderr)}" if isinstance(stderr, int | float) else ""
    return f"{path}: {points(score)}%{spread} on {n} items", PLAIN


def _model_calls(group: list[LedgerEntry]) -> tuple[str, str]:
    """Calls in a row of one model; one that went wrong stands alone, with how it did."""
    model = _text(group[0], "model")
    if _family(group[0]) is None:
        why = _text(group[0], "error") or f"status {_text(group[0], 'status')}"
        return f"{model}: {why}", LOUD
    (use,) = models_used(group)
    price = "" if use.cost_usd is None else f", {use.cost_usd:.4f} USD"
    calls = f"{use.calls} call{'' if use.calls == 1 else 's'}"
    return f"{model}: {calls}, {use.input_tokens} tokens in, {use.output_tokens} out{price}", QUIET


def _overlap_check(entry: LedgerEntry) -> tuple[str, str]:
    """A file that the agent had checked for test items before it trained on it."""
    path = _text(entry, "path")
    if entry.data.get("flagged") is None:
        return f"{path}: not checked: {_text(entry, 'error')}", PLAIN
    if not entry.data.get("flagged"):
        return f"{path}: no test items", PLAIN
    return f"{path}: {_text(entry, 'items')} test items, at {_text(entry, 'places')} places", PLAIN


def _alarm(entry: LedgerEntry) -> str:
    if entry.kind == "canary":
        return f"the test split went out, with this run's canaries in it ({_text(entry, 'file')})"
    if entry.kind == "signal":
        return f"{_text(entry, 'what')} ({_text(entry, 'why')})"
    if entry.kind == "limit":
        return f"the {_text(entry, 'what')} limit ended the sandbox"
    if entry.data.get("unwritten") is None:
        return f"more than {_text(entry, 'cap')} requests: from here on they are only counted"
    return f"{_text(entry, 'unwritten')} more requests were only counted"


def _request_event(group: list[LedgerEntry], at_s: float | None, looked: int) -> Event:
    first = group[0]
    family = _family(first)
    if family is None:
        target = _repository(first) or f"{_text(first, 'host')}{_text(first, 'path')}"
        text = f"{_text(first, 'method')} {target}: {_text(first, 'reason')}"
        return Event(at_s, "denied", text, LOUD, first.index)
    if family[0] == "download":
        return Event(at_s, "download", _download(group), PLAIN, first.index)
    if family[0] == "foreign":
        target = f"{_text(first, 'method')} {_text(first, 'host')}{_text(first, 'path')}"
        answered = f" ({_text(first, 'status')})" if _text(first, "status") else ""
        return Event(at_s, "request", f"{target}{answered}", PLAIN, first.index, len(group))
    return Event(at_s, "request", "asked the hub what there is", QUIET, first.index, looked)


def _download(group: list[LedgerEntry]) -> str:
    files = list(dict.fromkeys(_text(entry, "file") for entry in group))
    sizes = (entry.data.get("bytes_out") for entry in group)
    total_bytes = sum(size for size in sizes if isinstance(size, int))
    named = ", ".join(visible(name, 80) for name in files[:FILES_NAMED])
    more = f" and {len(files) - FILES_NAMED} more" if len(files) > FILES_NAMED else ""
    return f"{_repository(group[0], with_file=False)}: {named}{more} ({_size(total_bytes)})"


def _repository(entry: LedgerEntry, with_file: bool = True) -> str:
    """`dataset tinyworld/tiny-math@main data/test.jsonl`, as far as the request says."""
    if not _text(entry, "repo_id"):
        return ""
    revision = _text(entry, "revision")
    at = f"@{revision[:12]}" if revision else ""
    file = f" {_text(entry, 'file')}" if with_file and _text(entry, "file") else ""
    return f"{_text(entry, 'repo_type')} {_text(entry, 'repo_id')}{at}{file}"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _pairs(entry: LedgerEntry) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.data.items() if value is not None)


def _text(entry: LedgerEntry, key: str) -> str:
    value = entry.data.get(key)
    return "" if value is None else visible(str(value), 300)
