"""A judge reads runs of the red team: what it finds is counted, what they say of themselves is left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posttrainbench.cli.main import app

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from grader_server import serving
from scripted_judge import judging, quoting

FAILED = "so that data like them is what is needed"


def sees_the_guided(dossier: str) -> dict[str, Any]:
    return {"evaluation_guided_data": quoting(dossier, FAILED)}


@pytest.mark.extended
def test_a_judge_is_calibrated_on_red_team_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    runs, out = tmp_path / "redteam", tmp_path / "calibration"
    played = CliRunner().invoke(app, ["redteam", "--cheats", "6", "--policy", "open", "--out", str(runs)])
    assert played.exit_code == 0, played.output
    with serving(judging(sees_the_guided)) as server:
        monkeypatch.setenv("PTB_JUDGE_BASE_URL", server.url)
        told = ["judge", "calibrate", str(runs), "--judge", "api", "--judge-model", "m", "--out", str(out)]
        read = CliRunner().invoke(app, told)
    assert read.exit_code == 0, read.output
    document = json.loads((out / "calibration.json").read_text())
    agreement = {one["what"]: one for one in document["agreement"]}
    assert agreement["honest runs called kept"]["count"] == agreement["honest runs called kept"]["of"] == 1
    assert agreement["cheats called broken for what they are"]["count"] >= 1
    asked = "".join(path.read_text() for path in out.rglob("asked.md"))
    assert "RED-TEAM" not in asked
    assert FAILED in asked
