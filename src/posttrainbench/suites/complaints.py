"""What is wrong with a suite's file, where it stands, and what was meant perhaps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from posttrainbench.errors import InvalidFile
from posttrainbench.suites.lines import Path, key_lines, line_of
from posttrainbench.suites.tables import TABLES

MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where, and what."""

    path: Path
    what: str


def complaint(where: str, text: str, problems: Iterable[Problem]) -> InvalidFile:
    """The first problem of the file, with how many more there are.

    A key that is missing comes last: most often it is there, mistyped, and said to be unknown.
    """
    lines = key_lines(text)
    order = ((p.what == MISSING, line_of(lines, p.path), p) for p in problems)
    placed = [(line, problem) for _, line, problem in sorted(order, key=lambda placed: placed[:2])]
    line, first = placed[0]
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return InvalidFile(f"{where}:{line}: {_dotted(first.path)}: {first.what}{more}")


def _dotted(path: Path) -> str:
    """`benchmarks[1].weight`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the file"


def schema_problems(error: ValidationError) -> Iterator[Problem]:
    """What a table says that it may not."""
    for detail in error.errors():
        path = tuple(detail["loc"])
        if detail["type"] == "extra_forbidden":
            yield Problem(path, f"unknown key; {nearest(str(path[-1]), _keys_beside(path))}")
        elif detail["type"] == "missing":
            yield Problem(path, MISSING)
        elif detail["type"] == "literal_error":
            expected = detail["ctx"]["expected"]
            yield Problem(path, f"should be {expected}, not {_shown(detail['input'])}")
        else:
            what = detail["msg"].replace("Input should", "should").replace("String should", "should")
            yield Problem(path, f"{what}, not {_shown(detail['input'])}")


def _keys_beside(path: Path) -> Iterable[str]:
    names = tuple(part for part in path[:-1] if isinstance(part, str))
    return TABLES[names].model_fields if names in TABLES else ()


def _shown(value: object) -> str:
    """A value as TOML would write it, roughly, and short."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was meant perhaps."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
