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

from posttrainbench.flows.finished_samples import GRADES

Answer = Callable[[Sample], ModelOutput]


@dataclass(frozen=True)
class Exchange:
    """What one sample asked of the model, and what its completion earned: None where no rule scores it."""

    messages: tuple[tuple[str, str], ...]  # (role, text) of each, before the completion
    tools: tuple[ToolInfo, ...]
    value: float | None


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
    return [earned(exchange) for exchange in exchanges(task, answer)]


def earned(exchange: Exchange) -> float:
    """What the completion earned, of a task that scores."""
    assert exchange.value is not None
    return exchange.value


async def _exchange(task: Task, sample: Sample, answer: Answer) -> Exchange:
    asked: list[tuple[tuple[tuple[str, str], ...], tuple[ToolInfo, ...]]] = []

    async def generate(state: TaskState, tool_calls: str = "loop", **_: Any) -> TaskState:
        messages = tuple((message.role, message.text) for message in state.messages)
        asked.append((messages, tuple(state.tools)))  # type: ignore[arg-type]
        state.output = answer(sample)
        state.messages.append(state.output.message)
        return state

    given = sample.input
    messages = [ChatMessageUser(content=given)] if isinstance(given, str) else list(given)
    state = TaskState(
        ModelName("scripted/model"),
        str(sample.id),
        1,
        given,
        messages,
        Target(sample.target),
        list(sample.choices or []),
        metadata=copy.deepcopy(sample.metadata or {}),
    )
    solver: Solver = task.solver if callable(task.solver) else chain(task.solver)  # type: ignore[arg-type]
    state = await solver(state, generate)  # type: ignore[arg-type]
    assert len(asked) == 1, "one question, one completion"
    return Exchange(*asked[0], await _value(task, state, Target(sample.target)))


async def _value(task: Task, state: TaskState, target: Target) -> float | None:
    if task.scorer is None:
        return None
    (scorer,) = task.scorer if isinstance(task.scorer, list) else [task.scorer]
    score = await scorer(state, target)  # type: ignore[operator]
    assert score is not None
    return GRADES[score.value] if isinstance(score.value, str) else score.as_float()
