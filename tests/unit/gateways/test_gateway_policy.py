"""Each policy lets through what it says, and its denials say what, why and what else."""

from __future__ import annotations

import pytest

from posttrainbench.budget import Budget
from posttrainbench.gateways.hub_urls import Call, HubRequest, RepoType
from posttrainbench.gateways.policy import Protected, decide
from posttrainbench.task import ModelRef, Policy, Rules, Task

PROTECTED = Protected("w/math", ("data/test.jsonl", "*held_out*"), mirrors=("w/copy",))
TASK = Task(
    ModelRef("w/tiny-base"), "math", Budget(60), Rules(Policy.STRICT, allowed_datasets=("w/chatter",))
)
OPEN, PAPER, STRICT = Policy.OPEN, Policy.PAPER, Policy.STRICT


def file(repo_id: str, path: str, revision: str = "main", kind: RepoType = RepoType.DATASET) -> HubRequest:
    return HubRequest(Call.FILE, kind, repo_id, revision, path)


def allowed(policy: Policy, request: HubRequest) -> bool:
    return decide(policy, TASK, PROTECTED, request).allowed


@pytest.mark.parametrize(
    "request_",
    [
        file("w/math", "data/test.jsonl"),
        file("w/math", "data/TEST.jsonl"),
        file("W/Math", "data/test.jsonl"),
        file("w/math", "data/test.jsonl", "0" * 40),
        file("w/math", "default/test/0000.parquet", "refs/convert/parquet"),
        file("w/math", "data/test-00000-of-00001.parquet"),
        file("w/math", "old/held_out.csv"),
        file("w/copy", "data/test.jsonl"),
    ],
)
def test_the_test_split_is_for_open_alone(request_: HubRequest) -> None:
    assert allowed(OPEN, request_)
    assert not allowed(PAPER, request_)
    assert not allowed(STRICT, request_)


@pytest.mark.parametrize(
    "request_",
    [
        file("w/math", "data/train.jsonl"),
        file("w/math", "README.md"),
        HubRequest(Call.TREE, RepoType.DATASET, "w/math"),
        HubRequest(Call.PATHS, RepoType.DATASET, "w/math"),
        HubRequest(Call.INFO, RepoType.DATASET, "w/chatter"),
        file("w/chatter", "data/train.jsonl"),
        file("w/chatter", "data/latest.jsonl"),
        file("w/tiny-base", "model.safetensors", kind=RepoType.MODEL),
        file("w/tiny-base", "test.py", kind=RepoType.MODEL),
        HubRequest(Call.INFO, RepoType.MODEL, "w/tiny-base"),
    ],
)
def test_what_every_policy_lets_through(request_: HubRequest) -> None:
    assert all(allowed(policy, request_) for policy in Policy)


@pytest.mark.parametrize(
    "request_",
    [
        file("w/tiny-instruct", "model.safetensors", kind=RepoType.MODEL),
        HubRequest(Call.INFO, RepoType.MODEL, "w/tiny-instruct"),
        HubRequest(Call.SEARCH, RepoType.MODEL, ""),
        file("w/tiny-base", "data.jsonl"),  # a data set under the base model's name
        file("w/math", "model.safetensors", kind=RepoType.MODEL),
        file("w/other", "data/train.jsonl"),
        file("w/chatter", "data/test.jsonl"),
        HubRequest(Call.INFO, RepoType.SPACE, "w/math"),
    ],
)
def test_what_strict_alone_denies(request_: HubRequest) -> None:
    assert allowed(OPEN, request_)
    assert allowed(PAPER, request_)
    assert not allowed(STRICT, request_)


def test_a_denial_names_the_thing_the_rule_and_the_way_out() -> None:
    told = decide(PAPER, TASK, PROTECTED, file("w/math", "data/test.jsonl")).reason
    assert all(part in told for part in ("data/test.jsonl", "w/math", "test split", "'paper'", "data_files"))
    told = decide(STRICT, TASK, PROTECTED, file("w/x-instruct", "a", kind=RepoType.MODEL)).reason
    assert all(part in told for part in ("w/x-instruct", "'strict'", "w/tiny-base", "w/math", "w/chatter"))
    assert "\n" not in told


def test_other_calls_about_the_test_split_are_not_its_content() -> None:
    assert allowed(PAPER, HubRequest(Call.TREE, RepoType.DATASET, "w/math", "main", "data/test"))
