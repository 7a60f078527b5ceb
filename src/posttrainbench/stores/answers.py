"""Completions that leave an evaluation sandbox as text, to be scored outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from posttrainbench.errors import InvalidFile
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.trees import read_text

FILE = "answers.json"
CAP_BYTES = 500_000_000

_ANSWERS = TypeAdapter(dict[str, str])


def write_answers(folder: Path, answers: Mapping[str, str]) -> None:
    """Write sample id -> completion into the folder of an evaluation."""
    write_atomic(folder / FILE, json.dumps(dict(answers)))  # as ASCII: half characters survive


def read_answers(folder: Path) -> dict[str, str]:
    """Sample id -> completion.

    Raises:
        InvalidFile: there is no such file, or it holds something else.
    """
    try:
        return _ANSWERS.validate_python(json.loads(read_text(folder, FILE, CAP_BYTES)))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise InvalidFile(f"{folder / FILE} holds no answers: {str(error).splitlines()[0]}") from None
