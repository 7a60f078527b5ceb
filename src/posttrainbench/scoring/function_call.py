"""Calls that a model made through a tool interface, compared with the right one.

The rules, each with a row in the tests:
- arguments are compared by name; their order does not matter, one too many or too few does;
- tool interfaces carry JSON, so a tuple is a list, and `3` is `3.0`; `"3"` and `true` are neither;
- texts are equal when every character is: no case, blank or punctuation is forgiven;
- a dot in a function's name is an underscore, since tool interfaces allow no dots.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function's name and its arguments as Python values."""

    function: str
    arguments: Mapping[str, Any]


def read_call(text: str) -> FunctionCall:
    """The call that a data set writes in Python syntax, all arguments named, all values literals.

    Raises:
        ValueError: it is not written so.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not a call in Python syntax: {error.msg}") from None
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("not one call with named arguments")
    arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return FunctionCall(ast.unparse(node.func), arguments)


def same(found: FunctionCall, right: FunctionCall) -> bool:
    """Whether two calls are the same by the rules above."""
    names = found.function.replace(".", "_") == right.function.replace(".", "_")
    return names and _same_value(dict(found.arguments), dict(right.arguments))


def _same_value(found: object, right: object) -> bool:
    if isinstance(found, dict) and isinstance(right, dict):
        return found.keys() == right.keys() and all(_same_value(found[key], right[key]) for key in right)
    if isinstance(found, list | tuple) and isinstance(right, list | tuple):
        return len(found) == len(right) and all(map(_same_value, found, right))
    if isinstance(found, bool) or isinstance(right, bool):
        return found is right
    if isinstance(found, int | float) and isinstance(right, int | float):
        return found == right
    return type(found) is type(right) and found == right
