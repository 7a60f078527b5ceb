"""What agents read, word for word: a change of it is a change of the benchmark, and must be meant.

To write the texts anew, run these tests with PTB_WRITE_SNAPSHOTS=yes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posttrainbench.agents.scaffolds import PROMPT
from posttrainbench.budget import GIB, Budget, Limits
from posttrainbench.flows.prepare import TEXTS, render
from posttrainbench.task import ModelRef, Policy, Rules, Task

SNAPSHOTS = Path(__file__).parent / "snapshots"
BASE = ModelRef("world/tiny-base", "v1")
TASKS = {
    "laptop": Task(BASE, "maths", Budget(25.0), Rules(Policy.OPEN), Limits(2 * GIB, 256, GIB)),
    "paper": Task(
        BASE,
        "maths",
        Budget(36_000.0, gpus=1, cost_usd=50.0),
        Rules(Policy.PAPER, query_split="test"),
        Limits(120 * GIB, 4096, 500 * GIB),
    ),
    "strict": Task(
        BASE,
        "maths",
        Budget(5400.0, tokens=1_000_000),
        Rules(Policy.STRICT, max_queries=5, allowed_datasets=("world/chatter",)),
        Limits(2 * GIB, 256, GIB),
    ),
}


def texts() -> dict[str, str]:
    found = {"prompt.txt": PROMPT + "\n"}
    for name, task in TASKS.items():
        rendered = render(task, "word problems with a final answer", "world/maths", deadline_unix_s=0)
        found |= {f"{name}-{text}": rendered[text] for text in TEXTS}
    return found


@pytest.mark.parametrize("name", texts())
def test_agents_read_what_was_agreed(name: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("PTB_WRITE_SNAPSHOTS") == "yes":
        path.write_text(texts()[name], encoding="utf-8")
    assert texts()[name] == path.read_text(encoding="utf-8")


def test_no_agreed_text_is_left_over() -> None:
    assert {path.name for path in SNAPSHOTS.iterdir()} == set(texts())
