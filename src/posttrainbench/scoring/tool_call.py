"""Tool calls, read and compared exactly.

Hard cases, each with a row in the tests:
- the order of keyword arguments does not matter, their names and values do; a name given twice is no call;
- `3`, `3.0`, `"3"` and `True` are four different values, also inside lists and dicts; -0.0 is not 0.0;
- positional arguments, `*args` and `**kwargs` are not exact: no call;
- values are literals: no names, arithmetic, f-strings or calls; a minus before a number is part of the
  literal;
- exactly one call and nothing else: no prose, no code fence, no second call, no `module.function(...)`, no
  comment (it could hide a second answer); white space around the call is fine;
- hostile text (very long, deeply nested, null bytes, lone surrogates, endless digits) is no call and never an
  exception.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_CHARACTERS = 2000
DEEPEST_NESTING = 20


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function's name and its keyword arguments, each value in a form that keeps its type."""

    name: str
    arguments: Mapping[str, str]


def parse_call(text: str) -> ToolCall | None:
    """The one call that the text consists of, or None when it is anything else."""
    text = text.strip()
    if (
        not text
        or len(text) > LONGEST_CHARACTERS
        or "#" in _outside_strings(text)
        or _depth(text) > DEEPEST_NESTING
    ):
        return None
    tree = _parse(text)
    if tree is None:
        return None
    call = tree.body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        return None
    arguments: dict[str, str] = {}
    for keyword in call.keywords:
        value = _canonical(keyword.value)
        if keyword.arg is None or value is None or keyword.arg in arguments:
            return None
        arguments[keyword.arg] = value
    return ToolCall(call.func.id, arguments)


def is_correct(completion: str, target: str) -> bool:
    """Whether the completion is one call, equal to the target in name and arguments."""
    found = parse_call(completion)
    return found is not None and found == parse_call(target)


def _parse(text: str) -> ast.Expression | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in an answer is no news to whoever runs us
            return ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # whatever the parser chokes on is not a call


def _canonical(node: ast.expr) -> str | None:
    """A literal as text that differs whenever type or value differ, or None when it is no literal."""
    if isinstance(node, ast.Constant):
        return None if node.value is Ellipsis else f"{type(node.value).__name__}:{node.value!r}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _negative(node.operand)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        parts = [_canonical(element) for element in node.elts]
        return None if None in parts else f"{type(node).__name__}({', '.join(map(str, parts))})"
    if isinstance(node, ast.Dict):
        return _canonical_dict(node)
    return None


def _negative(operand: ast.expr) -> str | None:
    if isinstance(operand, ast.Constant) and type(operand.value) in (int, float):
        value = -operand.value  # type: ignore[operator]
        return f"{type(value).__name__}:{value!r}"
    return None


def _canonical_dict(node: ast.Dict) -> str | None:
    pairs: dict[str, str] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        name = None if key is None else _canonical(key)
        content = _canonical(value)
        if name is None or content is None or name in pairs:
            return None
        pairs[name] = content
    return f"Dict({', '.join(f'{name}={pairs[name]}' for name in sorted(pairs))})"


def _outside_strings(text: str) -> str:
    """The text without its quoted parts, near enough to see a comment sign or count brackets."""
    kept: list[str] = []
    quote = ""
    escaped = False
    for character in text:
        if quote:
            closes = character == quote and not escaped
            escaped = character == "\\" and not escaped
            quote = "" if closes else quote
        elif character in "\"'":
            quote = character
        else:
            kept.append(character)
    return "".join(kept)


def _depth(text: str) -> int:
    """How deep brackets and signs nest: a parser's stack is finite."""
    depth = deepest = signs = 0
    for character in text:
        signs = signs + 1 if character in "-+~" else 0
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth, signs)
    return deepest
