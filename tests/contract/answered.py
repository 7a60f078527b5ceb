"""Inspect tasks with given completions in a model's place: the task's own solver and scorer, nothing else."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelName, ModelOutput
from inspect_ai.scorer import Target
from inspect_ai.solver import Solver, TaskState, chain
from inspect_ai.tool import ToolInfo

from posttrainbench.flows.score import GRADES

Answer = Callable[[Sample], ModelOutput]


@dataclass(frozen=True)
class Exchange:
    """What one sample asked of the model, and what its completion earned."""

    messages: tuple[tuple[str, str], ...]  # (role, text) of each, before the completion
    tools: tuple[ToolInfo, ...]
    value: float


def said(text: str) -> Answer:
    """The same completion for every sample."""
    return lambda _: ModelOutput.from_content("scripted", text)


def exchanges(task: Task, answer: Answer, samples: Sequence[Sample] | None = None) -> list[Exchange]:
    """Every sample of a task (or only some), asked and scored."""

    async def all_of_them() -> list[Exchange]:
        chosen = list(task.dataset) if samples is None else samples
        return [await _exchange(task, sample, answer) for sample in chosen]

    return asyncio.run(all_of_them())


def values(task: Task, answer: Answer) -> list[float]:
    """What every sample's completion earned."""
    return [exchange.value for exchange in exchanges(task, answer)]


async def _exchange(task: Task, sample: Sample, answer: Answer) -> Exchange:
    asked: list[tuple[tuple[tuple[str, str], ...], tuple[ToolInfo, ...]]] = []

    async def generate(state: TaskState, tool_calls: str = "loop", **_: Any) -> TaskState:
        messages = tuple((message.role, message.text) for message in state.messages)
        asked.append((messages, tuple(state.tools)))  # type: ignore[arg-type]
        state.output = answer(sample)
        state.messages.append(state.output.message)
        return state

    assert isinstance(sample.input, str) or len(sample.input) == 1
    text = sample.input if isinstance(sample.input, str) else sample.input[0].text
    state = TaskState(
        ModelName("scripted/model"),
        str(sample.id),
        1,
        sample.input,
        [ChatMessageUser(content=text)],
        Target(sample.target),
        list(sample.choices or []),
        metadata=copy.deepcopy(sample.metadata or {}),
    )
    solver: Solver = task.solver if callable(task.solver) else chain(task.solver)  # type: ignore[arg-type]
    state = await solver(state, generate)  # type: ignore[arg-type]
    assert len(asked) == 1, "one question, one completion"
    assert task.scorer is not None
    (scorer,) = task.scorer if isinstance(task.scorer, list) else [task.scorer]
    score = await scorer(state, Target(sample.target))  # type: ignore[operator]
    assert score is not None
    value = GRADES[score.value] if isinstance(score.value, str) else score.as_float()
    return Exchange(*asked[0], value)
