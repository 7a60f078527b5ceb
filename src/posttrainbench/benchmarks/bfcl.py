"""`bfcl`: the exec_simple part of BFCL; one tool call, equal to the right one in function and arguments.

The tool's schema is made by inspect_evals, and the solver is its own: the call is captured, never executed.
Turning a completion into a tool call is the engine's business. inspect_evals' scorer of today forgives case,
punctuation and defaults; the paper's did not, so the comparison is ours (`scoring/function_call.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from posttrainbench.datasets.catalog import BFCL
from posttrainbench.datasets.folder import read_rows
from posttrainbench.protocols import TestItem
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask

MAX_TOKENS = 16_000
(TEST,) = BFCL.files


@dataclass(frozen=True, slots=True)
class Message:
    """What the user says."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """A line of the data set: one turn of one message, one function, one right call in Python syntax."""

    id: str
    question: tuple[tuple[Message]]
    function: tuple[dict[str, JsonValue]]
    ground_truth: tuple[str]

    @property
    def text(self) -> str:
        return self.question[0][0].content


class Bfcl:
    """100 exercises; there is no train split."""

    name = BFCL.benchmark
    title = "BFCL exec_simple: one tool call, matched exactly"
    hub_id = BFCL.hub_id
    test_files = ("*exec_simple*",)

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return BFCL.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "dev", "sealed" or "test" (dev + sealed); "train" is empty."""
        return tuple(
            TestItem(row.id, row.text, row.ground_truth[0], row.ground_truth[0]) for row in self._rows(split)
        )

    def inspect_task(self, split: str) -> InspectTask:
        """The request in the user message, the function as a tool, one completion."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset, Sample
        from inspect_ai.model import GenerateConfig

        from posttrainbench.benchmarks.tool_calls import one_call, same_call

        samples = [
            Sample(row.text, target=row.ground_truth[0], id=row.id, metadata={"tools": list(row.function)})
            for row in self._rows(split)
        ]
        return Task(
            dataset=MemoryDataset(samples, name=self.name),
            solver=one_call(),
            scorer=same_call(),
            config=GenerateConfig(max_tokens=MAX_TOKENS),
            name=self.name,
        )

    def _rows(self, split: str) -> tuple[Exercise, ...]:
        if split == "train":
            return ()
        return select(self.name, read_rows(TEST, Exercise), lambda row: row.id, split)
