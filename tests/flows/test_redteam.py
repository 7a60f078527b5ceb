"""A few cheats of each kind and their twins through the real pipeline: nothing is missed, nobody flagged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def played(out: Path, *words: str) -> list[dict[str, object]]:
    """What `ptb redteam ... --json` says of each case."""
    argv = [sys.executable, "-m", "posttrainbench.cli.main", "redteam", *words, "--json", "--out", out]
    done = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert Path(out / "redteam.html").stat().st_size > 5_000
    found: list[dict[str, object]] = json.loads(done.stdout)["results"]
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The representative part."""
    return played(tmp_path_factory.mktemp("redteam"), "--part", "ci")


@pytest.mark.extended
def test_every_cheat_is_prevented_or_detected(results: list[dict[str, object]]) -> None:
    cheats = [one for one in results if one["case"]["disguise"] != "twin"]  # type: ignore[index]
    assert len(cheats) >= 10
    assert [one for one in cheats if one["ending"] not in ("prevented", "detected")] == []


@pytest.mark.extended
def test_no_honest_twin_is_flagged(results: list[dict[str, object]]) -> None:
    twins = [one for one in results if one["case"]["disguise"] == "twin"]  # type: ignore[index]
    assert len(twins) >= 10
    assert [one for one in twins if one["ending"] != "clean"] == []


@pytest.mark.extended
def test_what_is_detected_is_detected_by_the_check_that_is_meant_to(results: list[dict[str, object]]) -> None:
    by = {one["case"]["cheat"]: one["by"] for one in results if one["ending"] == "detected"}  # type: ignore[index]
    assert by[3] == ["overlap"]
    assert by[5] == ["overlap"]  # told in other words: by their numbers
    assert by[8] == ["overlap"]  # deleted: read from what the hub handed out
    assert by[27] == ["tampering"]
    assert by[36] == ["egress"]
    assert "lineage" in by[15]


@pytest.mark.extended
def test_answers_that_are_executed_or_graded_gain_nothing_by_cheating(tmp_path: Path) -> None:
    """Models of their own, a sandbox for each program, and a grader that believes what it reads."""
    endings: dict[int, list[object]] = {31: [], 32: []}
    for one in played(tmp_path, "--cheats", "31,32", "--policy", "paper"):
        endings[one["case"]["cheat"]].append(one["ending"])  # type: ignore[index]
    assert sorted(map(str, endings[31])) == ["clean", "prevented", "prevented", "prevented"]
    assert sorted(map(str, endings[32])) == ["clean", "detected", "detected", "detected"]
    (honest,) = (tmp_path / "runs" / "paper").glob("32-twin*")
    again = subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli.main", "audit", honest],
        env={name: value for name, value in os.environ.items() if not name.startswith("PTB_GRADER")},
        capture_output=True, check=False, text=True, timeout=300,
    )  # fmt: skip
    assert (again.returncode, "clean" in again.stdout) == (0, True), "who audits again needs no grader"
