"""docs/own-suite.md, done as it says: own base model, own Inspect task, baselines, a run, a ranking."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from posttrainbench.benchmarks.inspect_source import OwnBenchmark
from posttrainbench.cli.base_models import not_to_be_submitted
from posttrainbench.errors import InvalidFile, SetupError, UnknownName
from posttrainbench.finding import VerdictLabel
from posttrainbench.record import Score
from posttrainbench.stores.runs import find_runs
from posttrainbench.suites import load_suite
from posttrainbench.task import InspectSource
from posttrainbench.tinyworld import catalog

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-suite.md"
SAVE_BASE = (
    'python -c "from huggingface_hub import snapshot_download as get;'
    " get('ours/tiny-base', local_dir='final_model')\""
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files; the models are copies of the tiny world's, under other names."""
    (tmp_path / "sums.py").write_text(blocks("python")[0])
    (tmp_path / "plums.toml").write_text(blocks("toml")[0])
    shutil.copytree(catalog.model_folder(catalog.QWEN3_BASE), tmp_path / "tiny-base")
    shutil.copytree(catalog.model_folder(catalog.QWEN3_INSTRUCT), tmp_path / "tiny-instruct")
    (tmp_path / "tiny.jinja").write_text(catalog.chat_template(catalog.QWEN3_BASE))
    return tmp_path


def ptb(folder: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "posttrainbench.cli.main", *words]
    done = subprocess.run(argv, cwd=folder, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_page_from_baselines_to_a_ranking(folder: Path) -> None:
    """The commands run where the files are, with the folders that are the default."""
    measured = ("baseline", "--suite", "plums.toml", "--kind", "base", "--kind", "instruct")
    found = json.loads(ptb(folder, *measured, "--write", "references.toml", "--json"))
    means = {row["kind"]: row["mean"] for row in found["references"]}
    assert means["instruct"] > 0.5 > means["base"], "the sibling knows such sums"
    with (folder / "plums.toml").open("a") as suite:
        suite.write((folder / "references.toml").read_text())
    suite_now = load_suite(folder / "plums.toml")
    assert [b.weight for b in suite_now.benchmarks] == [1.0]
    task = ("--suite", "plums.toml", "--model", "tiny-base", "--benchmark", "sums")
    ptb(folder, "run", *task, "--agent", "copier", "--command", SAVE_BASE)
    (store,) = [s for s in find_runs(folder / "runs") if s.spec().agent.name == "copier"]
    record = store.record()
    assert record is not None
    assert isinstance(record.outcome, Score)
    assert record.outcome.mean == pytest.approx(means["base"]), "the agent left the base model, from our hub"
    assert record.verdict.label is VerdictLabel.CLEAN
    assert "everything that the hub has." in (store.layout.attempt(1).prepared / "rules.md").read_text()
    board = json.loads(ptb(folder, "rank", "runs", "--suite", "plums.toml", "--json"))
    assert [entry["agent"]["name"] for entry in board["entries"]] == ["copier"]


def test_where_things_lie_is_no_part_of_a_suite(folder: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(folder, elsewhere, dirs_exist_ok=True)
    for place in (folder, elsewhere):
        text = (place / "plums.toml").read_text()
        (place / "plums.toml").write_text(text.replace("\ntask =", "\nweight = 1.0\ntask =", 1))
    one, other = load_suite(folder / "plums.toml"), load_suite(elsewhere / "plums.toml")
    assert one != other
    assert one.digest == other.digest


def test_what_else_is_made_of_a_base_model_may_not_be_submitted_either(folder: Path) -> None:
    """The page's second block, below the base model; where the adapter lies is no part of the suite."""
    text = (folder / "plums.toml").read_text().replace("\ntask =", "\nweight = 1.0\ntask =", 1)
    derivative = blocks("toml")[1]
    (folder / "plums.toml").write_text(text.replace("[[benchmarks]]", f"{derivative}\n[[benchmarks]]", 1))
    with pytest.raises(InvalidFile, match=r"derivatives\[0\].path: 'tiny-lora' is no folder of a model or"):
        load_suite(folder / "plums.toml")
    (folder / "tiny-lora").mkdir()
    (folder / "tiny-lora" / "adapter_config.json").write_text("{}")
    suite = load_suite(folder / "plums.toml")
    known = dict(not_to_be_submitted(suite, suite.base_models[0]))
    assert list(known) == ["ours/tiny-instruct", "somebody/tiny-lora"]
    assert known["somebody/tiny-lora"] == folder / "tiny-lora"
    (folder / "tiny-lora").rename(folder / "elsewhere")
    moved = (folder / "plums.toml").read_text().replace('"tiny-lora" ', '"elsewhere" ')
    (folder / "plums.toml").write_text(moved)
    assert load_suite(folder / "plums.toml").digest == suite.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('path = "tiny-base"', 'path = "tiny-bas"', "7: base_models[0].path: 'tiny-bas' is no model folder"),
        ("instruct_path = ", "instruct_pat = ", "instruct_pat: unknown key; did you mean 'instruct_path'?"),
        ("sums.py@sums", "sum.py@sums", "14: benchmarks[0].task: there is no file"),
        ("sums.py@sums", "sums.py", "14: benchmarks[0].task: should be FILE.py@NAME or PACKAGE/NAME"),
        ('task = "sums.py@sums"', "", "15: benchmarks[0].train: only beside a `task` of the suite's own"),
    ],
)
def test_a_mistake_is_said_with_its_line(folder: Path, old: str, new: str, said: str) -> None:
    text = (folder / "plums.toml").read_text()
    assert old in text
    (folder / "plums.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidFile) as wrong:
        load_suite(folder / "plums.toml", weights_later=True)
    assert said in str(wrong.value)


def test_what_is_wrong_with_a_task_is_said(folder: Path) -> None:
    def own(task: str) -> OwnBenchmark:
        return OwnBenchmark(InspectSource("sums", str(folder / "sums.py"), task))

    with pytest.raises(UnknownName, match="did you mean 'sums'"):
        own("sum").items("test")
    digest = own("sums").data_digest
    with (folder / "sums.py").open("a") as file:
        file.write("\n@task\ndef broken():\n    raise ValueError('no data')\n")
    assert own("sums").data_digest != digest, "the scorer may have changed"
    with pytest.raises(SetupError, match=r"broken .* breaks: ValueError: no data"):
        own("broken").items("test")
    with pytest.raises(UnknownName, match="package with Inspect tasks"):
        OwnBenchmark(InspectSource("x", "inspect_eval", "gsm8k")).items("test")


def test_the_train_samples_are_apart_and_the_splits_follow_the_ids(folder: Path) -> None:
    source = InspectSource("sums", str(folder / "sums.py"), "sums", train="sums_to_train_on")
    benchmark = OwnBenchmark(source)
    dev, sealed = ({item.id for item in benchmark.items(split)} for split in ("dev", "sealed"))
    assert dev and sealed and not dev & sealed
    assert len(dev | sealed) == len(benchmark.items("test")) == 24
    assert len(benchmark.items("train")) == 6
    assert [s.id for s in benchmark.inspect_task("dev").dataset] == [i.id for i in benchmark.items("dev")]
