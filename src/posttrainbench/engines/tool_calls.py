"""Tool calls in the text of a completion, by the way a model family writes them.

- hermes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, as Qwen3 and SmolLM3 are trained to
  write, and as our template asks of Gemma 3, which has no format of its own;
- llama: the whole completion is `{"name": ..., "parameters": {...}}`, several of them with `;` between;
- python: the whole completion is `name(argument=value)`, a list of such calls, or a fence of either that is
  marked `tool_code`, as Gemma's documentation shows.

Text that is no call in its format stays text: a wrong answer, never an exception.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

Format = Literal["hermes", "llama", "python"]

FORMATS: Mapping[str, tuple[Format, ...]] = {  # a configuration's `model_type` -> the first that fits counts
    "qwen3": ("hermes",),
    "smollm3": ("hermes",),
    "gemma3": ("hermes", "python"),
    "gemma3_text": ("hermes", "python"),
    "llama": ("llama", "hermes"),
}
OTHER_MODELS: tuple[Format, ...] = ("hermes",)
LONGEST_CHARACTERS = 100_000

_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_FENCED = re.compile(r"\A```(?:tool_code|python)?\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """One call as the model wrote it."""

    name: str
    arguments: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A completion taken apart: what it says, and what it calls."""

    text: str
    calls: tuple[WrittenCall, ...]


def taken_apart(completion: str, formats: tuple[Format, ...]) -> Spoken:
    """The completion's calls in the first format that it holds some of; else all of it is text."""
    if len(completion) <= LONGEST_CHARACTERS:
        for name in formats:
            spoken = _READERS[name](completion)
            if spoken is not None:
                return spoken
    return Spoken(completion, ())


def _hermes(completion: str) -> Spoken | None:
    before, tag, _ = completion.partition("<tool_call>")
    if not tag:
        return None
    calls = [_json_call(_json(found), "arguments") for found in _TAGGED.findall(completion)]
    return _spoken(before.strip(), calls)


def _llama(completion: str) -> Spoken | None:
    text = completion.strip().removeprefix("<|python_tag|>").strip()
    calls: list[WrittenCall | None] = []
    while text:
        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return None
        calls.append(_json_call(value, "parameters") or _json_call(value, "arguments"))
        rest = text[end:].lstrip()
        if rest and not rest.startswith(";"):
            return None
        text = rest[1:].lstrip()
    return _spoken("", calls)


def _python(completion: str) -> Spoken | None:
    text = completion.strip()
    fenced = _FENCED.match(text)
    tree = _parsed(fenced.group(1).strip() if fenced else text)
    if tree is None:
        return None
    nodes = tree.elts if isinstance(tree, ast.List) else [tree]
    return _spoken("", [_python_call(node) for node in nodes])


_READERS: Mapping[Format, Callable[[str], Spoken | None]] = {
    "hermes": _hermes,
    "llama": _llama,
    "python": _python,
}


def _spoken(text: str, calls: list[WrittenCall | None]) -> Spoken | None:
    """None unless every call could be read: half an answer would be another answer."""
    read = tuple(call for call in calls if call is not None)
    return Spoken(text, read) if read and len(read) == len(calls) else None


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _json_call(value: object, arguments_key: str) -> WrittenCall | None:
    if not isinstance(value, dict):
        return None
    name, arguments = value.get("name"), value.get(arguments_key)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return WrittenCall(name, arguments)


def _parsed(text: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _python_call(node: ast.expr) -> WrittenCall | None:
    if not isinstance(node, ast.Call) or node.args:
        return None
    name = _dotted(node.func)
    arguments: dict[str, JsonValue] = {}
    for keyword in node.keywords:
        try:
            value = ast.literal_eval(keyword.value)
            arguments[keyword.arg or ""] = json.loads(json.dumps(value))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return None
    return WrittenCall(name, arguments) if name and "" not in arguments else None


def _dotted(node: ast.expr) -> str | None:
    """`a` or `a.b.c`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else None
    return None
