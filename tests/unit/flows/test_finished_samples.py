"""What is heard of a sample is what its log's summary says, and nothing is left out without being noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import list_eval_logs, read_eval_log_sample_summaries
from inspect_ai.model import get_model
from inspect_ai.scorer import Score as Scored
from inspect_ai.scorer import Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from posttrainbench.flows.finished_samples import FinishedSample, FinishedSamples
from posttrainbench.flows.score import ScoreJob, ScoreResult, score
from posttrainbench.record import Failure, Score

VALUES = {"a": 1.0, "b": "C", "c": "N", "d": 0.25}


class Small:
    """A benchmark of four samples."""

    name = "small"

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def inspect_task(self, split: str) -> Task:
        samples = [Sample(input="?", id=name, metadata={"part": f"{name}!"}) for name in self._values]
        return Task(MemoryDataset(samples), solver=silent(), scorer=told(self._values), name=self.name)


@solver
def silent() -> Solver:
    async def say_nothing(state: TaskState, generate: Generate) -> TaskState:
        return state

    return say_nothing


@scorer(metrics=[mean()])
def told(values: dict[str, object]) -> Scorer:
    async def tell(state: TaskState, target: Target) -> Scored:
        value = values[str(state.sample_id)]
        if isinstance(value, Exception):
            raise value
        return Scored(value=value, metadata={"weight": 2.0})  # type: ignore[arg-type]

    return tell


class Unasked:
    name = "unasked"

    def inspect_model(self, model: Path, chat_template: str) -> object:
        return get_model("none/none")


def scored(values: dict[str, object], out: Path) -> ScoreResult:
    job = ScoreJob("small", "test", "unasked", "")
    return score(Small(values), Unasked(), job, Path("model"), out)  # type: ignore[arg-type]


def test_what_is_heard_is_what_the_log_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[FinishedSample] = []
    add = FinishedSamples.add
    monkeypatch.setattr(
        FinishedSamples,
        "add",
        lambda self, ended: (add(self, ended), heard.append(self.by_evaluation[ended.eval_id][-1])),
    )
    outcome = scored(dict(VALUES), tmp_path).outcome
    assert isinstance(outcome, Score)
    assert (outcome.mean, outcome.n) == (2.25 / 4, 4)
    (log,) = list_eval_logs(str(tmp_path))
    logged = [FinishedSample.of(summary) for summary in read_eval_log_sample_summaries(log)]
    assert sorted(heard, key=lambda one: one.id) == sorted(logged, key=lambda one: one.id)
    assert {one.id: one.part for one in heard} == {name: f"{name}!" for name in VALUES}


def test_a_sample_that_was_not_heard_of_is_read_from_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = FinishedSamples.add
    monkeypatch.setattr(
        FinishedSamples, "add", lambda self, ended: None if ended.sample.id == "d" else add(self, ended)
    )
    outcome = scored(dict(VALUES), tmp_path).outcome
    assert isinstance(outcome, Score)
    assert (outcome.mean, outcome.n) == (2.25 / 4, 4)


def test_a_sample_without_a_number_makes_no_score(tmp_path: Path) -> None:
    for place, bad in enumerate((RuntimeError("lost"), "what?", float("nan"))):
        outcome = scored(VALUES | {"d": bad}, tmp_path / str(place)).outcome
        assert isinstance(outcome, Failure)
        assert outcome.reason.startswith("1 of 4 samples have no score")
        assert ("lost" in outcome.reason) == (place == 0)
