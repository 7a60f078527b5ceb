"""A judge that gives no answer: its run is unknown, and every form of the leaderboard says so."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from made_runs import made_records, made_score, made_suite
from rich.console import Console

from posttrainbench.auditing.judging import check_judge
from posttrainbench.auditing.verdict import verdict
from posttrainbench.judgement import Vote
from posttrainbench.leaderboard import Leaderboard
from posttrainbench.ranking.aggregate import rank
from posttrainbench.ranking.policy import PAPER
from posttrainbench.report.exports import to_csv, to_json, to_markdown
from posttrainbench.report.leaderboard import LeaderboardView
from posttrainbench.report.picture import leaderboard_svg


@pytest.fixture
def board() -> Leaderboard:
    suite = made_suite()
    silent = verdict([check_judge([Vote((), "no reply")] * 3)], ["judge"])
    records = made_records(suite, "not judged", made_score(0.4))
    return rank(suite, [replace(record, verdict=silent) for record in records], PAPER)


def test_it_is_unknown_in_every_form(board: Leaderboard) -> None:
    table = io.StringIO()
    Console(width=120, file=table).print(LeaderboardView(board))
    for text in (table.getvalue(), to_markdown(board)):
        row = next(line for line in text.splitlines() if "not judged" in line)
        assert "?" in row
        assert "unknown" in text
        assert "a required check did not run" in text
    assert ">unknown</text>" in leaderboard_svg(board)
    (entry,) = json.loads(to_json(board))["entries"]
    assert entry["marks"] == ["unknown"]
    assert {run["verdict"] for cell in entry["cells"] for run in cell["runs"]} == {"unknown"}
    assert {row["verdict"] for row in csv.DictReader(io.StringIO(to_csv(board)))} == {"unknown"}
