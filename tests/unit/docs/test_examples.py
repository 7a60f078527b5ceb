"""The documentation's examples work, and its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from posttrainbench.suites.loading import read_suite

PROJECT = Path(__file__).resolve().parents[3]
PAGES = sorted([*(PROJECT / "docs").glob("*.md"), PROJECT / "CONTRIBUTING.md"])


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (PROJECT / "docs" / page).read_text(), re.M | re.S)


def executed(page: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    return names


def test_the_agent_of_the_page_is_an_agent() -> None:
    agent = executed("add-an-agent.md")["MyAgent"]()
    command = agent.command(SimpleNamespace(), seed=7)
    assert agent.spec.name == "my-agent"
    assert command.environment["MY_AGENT_SEED"] == "7"
    assert command.mounts[0].inside == "/opt/my-agent"


def test_the_benchmark_of_the_page_keeps_its_own_rules() -> None:
    sums = executed("add-a-benchmark.md")["Sums"]()
    splits = {split: sums.items(split) for split in ("train", "dev", "sealed")}
    questions = [item.question for items in splits.values() for item in items]
    assert len(questions) == len(set(questions)) == 600
    assert sums.items("test") == splits["dev"] + splits["sealed"]
    assert re.fullmatch("[0-9a-f]{64}", sums.data_digest)


@pytest.mark.slow
def test_the_benchmark_of_the_page_scores_gold_and_blank_answers(tmp_path: Path) -> None:
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    sums = executed("add-a-benchmark.md")["Sums"]()
    gold = [item.answer for item in sums.items("dev")]
    for answers, expected in ((gold, 1.0), ([""] * len(gold), 0.0)):
        outputs = [ModelOutput.from_content("mockllm/model", answer) for answer in answers]
        for output in outputs:
            output.usage = ModelUsage()
        model = get_model("mockllm/model", custom_outputs=outputs)
        (log,) = inspect_eval(
            sums.inspect_task("dev"), model=model, display="none", max_samples=1, log_dir=str(tmp_path)
        )
        assert log.results is not None
        assert log.results.scores[0].metrics["accuracy"].value == expected


def test_the_toml_of_the_pages_is_valid_and_the_suite_can_be_read() -> None:
    pages = [block for page in ("add-an-agent.md", "add-a-benchmark.md") for block in blocks(page, "toml")]
    suites = [block for block in pages if "benchmarks" in tomllib.loads(block)]
    assert len(suites) == 1
    assert read_suite(suites[0], "page").name == "sums-only"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_file_that_the_contributing_page_names_exists() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    package = PROJECT / "src" / "posttrainbench"
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]*\.?[a-z]*)`", text):
        assert (package / name).exists() or (PROJECT / name).exists() or name == "judges/", name
