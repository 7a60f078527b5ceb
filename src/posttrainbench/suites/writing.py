"""Reference scores -> TOML, as `read_references` and a suite's file take them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from posttrainbench.task import Reference


def references_toml(references: Iterable[Reference]) -> str:
    """One [[references]] table each, in the order given."""
    return "\n".join(map(_table, references))


def _table(reference: Reference) -> str:
    fields = {
        "kind": reference.kind,
        "base_model": reference.base_model,
        "benchmark": reference.benchmark,
        "mean": reference.mean,
        "source": reference.source,
    }
    # A string or a float of JSON is one of TOML, as long as no pair of escapes stands for one character.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    return "[[references]]\n" + "".join(lines)
