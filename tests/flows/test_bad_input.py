"""What a person can get wrong ends in one line that says how to mend it, and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from posttrainbench.stores.runs import find_runs

TINY = Path(__file__).parents[2] / "src" / "posttrainbench" / "suites" / "tiny.toml"


def ptb(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli.main", *words],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
    )


def one_line_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("ptb: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run", "--agent", "recipe-stf"], "'recipe-sft'"),
        (["run", "--model", "tiny-qwen-base"], "'tiny-qwen3-base'"),
        (["run", "--benchmark", "tiny_maths"], "'tiny_math'"),
        (["run", "--suite", "tinny"], "'tiny'"),
        (["run", "--sandbox", "bwarp"], "'bwrap'"),
        (["run", "--policy", "opne"], "'open'"),
        (["run", "--hours", "1", "--seconds", "5"], "not both"),
        (["run", "--suite", "nowhere/my.toml"], "nowhere/my.toml"),
        (["rank", "--policy", "papre"], "'paper'"),
        (["list", "agnets"], "'agents'"),
        (["show", "nowhere"], "nowhere"),
        (["verify", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "nowhere"),
        (["audit", "nowhere"], "nowhere"),
        (["demo", "--agents", "idel"], "'idle'"),
    ],
)
def test_a_mistyped_word_is_met_with_the_right_one(words: list[str], hint: str, tmp_path: Path) -> None:
    needs_out = words[0] in ("run", "demo")
    assert hint in one_line_of(ptb(*words, *(["--out", str(tmp_path)] if needs_out else [])))
    assert not list(find_runs(tmp_path))


def test_an_unknown_key_in_a_suite_is_pointed_at(tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(TINY.read_text().replace("wall_s = ", "wall_seconds = "))
    line = next(n for n, text in enumerate(suite.read_text().splitlines(), 1) if "wall_seconds" in text)
    said = one_line_of(ptb("run", "--suite", str(suite), "--out", str(tmp_path)))
    assert f"mine.toml:{line}:" in said
    assert "wall_s" in said


@pytest.mark.parametrize("content", [None, "", "{", '{"run_id": "x"}', "\x00" * 10])
def test_a_half_written_run_directory_is_named(content: str | None, tmp_path: Path) -> None:
    run_dir = tmp_path / "half"
    (run_dir / "attempts" / "1").mkdir(parents=True)
    if content is not None:
        (run_dir / "spec.json").write_text(content)
    for verb in ("show", "audit", "evaluate", "run"):
        assert str(run_dir) in one_line_of(ptb(verb, str(run_dir)))


def test_a_missing_sandbox_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    said = one_line_of(ptb("run", "--agent", "idle", "--out", str(tmp_path), PATH=str(tmp_path / "bin")))
    assert "bubblewrap" in said
    assert "apt-get install" in said
