"""`ptb rank`, `ptb show`, `ptb list` on run directories."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import made_record, made_score, made_spec, made_suite

from posttrainbench.cli.listing import LISTINGS, listing
from posttrainbench.cli.rank import FORMATS, leaderboard_of, rank
from posttrainbench.cli.show import show
from posttrainbench.errors import InvalidFile, SetupError, UnknownName
from posttrainbench.ranking.policy import PAPER
from posttrainbench.stores.runs import RunStore
from posttrainbench.task import Suite

SUITE = made_suite()


def put_runs(root: Path, suite: Suite, agent: str, mean: float, published: int = 4) -> list[RunStore]:
    """One run directory per task, the first `published` of them with a record."""
    stores = []
    for number, task in enumerate(suite.tasks()):
        spec = made_spec(suite, task, agent)
        store = RunStore(root / suite.digest[:6] / spec.run_id)
        store.create(spec, suite)
        store.ledger().append("stage", {"stage": "prepare", "event": "start", "attempt": 1})
        if number < published:
            store.publish(made_record(spec, made_score(mean)), 1)
        stores.append(store)
    return stores


def test_a_folder_of_runs_is_ranked_and_unfinished_runs_are_missing(tmp_path: Path) -> None:
    put_runs(tmp_path, SUITE, "good", 0.8)
    put_runs(tmp_path, SUITE, "fair", 0.5)
    put_runs(tmp_path, SUITE, "slow", 0.9, published=1)
    board = leaderboard_of(tmp_path, None, PAPER)
    assert [(entry.label, entry.rank) for entry in board.entries] == [
        ("good", 1),
        ("fair", 2),
        ("slow", None),
    ]
    assert board.suite_digest == SUITE.digest


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_goes_to_the_terminal_or_to_a_file(tmp_path: Path, capsys, format_: str) -> None:
    put_runs(tmp_path / "runs", SUITE, "good", 0.8)
    rank(tmp_path / "runs", None, "paper", format_, None)
    assert "good" in capsys.readouterr().out
    out = tmp_path / "new" / "file"
    rank(tmp_path / "runs", None, "paper", format_, out)
    assert "good" in out.read_text()
    assert capsys.readouterr().out == ""


def test_two_suites_are_an_error_until_one_is_chosen(tmp_path: Path) -> None:
    other = replace(SUITE, version="2.0")
    put_runs(tmp_path, SUITE, "good", 0.8)
    put_runs(tmp_path, other, "good", 0.3)
    with pytest.raises(SetupError, match="--suite"):
        leaderboard_of(tmp_path, None, PAPER)
    with pytest.raises(SetupError, match="--suite"):
        leaderboard_of(tmp_path, "made", PAPER)
    for suite, mean in ((SUITE, 0.8), (other, 0.3)):
        (entry,) = leaderboard_of(tmp_path, suite.digest[:10], PAPER).entries
        assert entry.total is not None
        assert entry.total.mean == pytest.approx(mean)


def test_what_cannot_be_ranked_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        leaderboard_of(tmp_path / "nowhere", None, PAPER)
    with pytest.raises(SetupError, match="ptb demo"):
        leaderboard_of(tmp_path, None, PAPER)
    put_runs(tmp_path, SUITE, "slow", 0.9, published=0)
    with pytest.raises(SetupError, match="has a record"):
        leaderboard_of(tmp_path, None, PAPER)
    with pytest.raises(UnknownName, match="did you mean 'made'"):
        leaderboard_of(tmp_path, "maid", PAPER)
    with pytest.raises(UnknownName, match="did you mean 'markdown'"):
        rank(tmp_path, None, "paper", "markdwon", None)
    with pytest.raises(UnknownName, match="did you mean 'paper'"):
        rank(tmp_path, None, "papr", "json", None)


def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    store = put_runs(tmp_path, SUITE, "good", 0.8)[0]
    (store.layout.records / "1.json").write_text("{")
    with pytest.raises(InvalidFile):
        leaderboard_of(tmp_path, None, PAPER)


def test_show_tells_of_a_finished_and_of_an_unfinished_run(tmp_path: Path, capsys) -> None:
    finished, *_, unfinished = put_runs(tmp_path, SUITE, "good", 0.8, published=1)
    show(finished.layout.root, as_json=False)
    assert "80.0%" in capsys.readouterr().out
    show(unfinished.layout.root, as_json=False)
    assert "no record yet" in capsys.readouterr().out
    show(finished.layout.root, as_json=True)
    assert json.loads(capsys.readouterr().out)["record"]["outcome"]["mean"] == 0.8


def test_show_of_a_folder_that_is_no_run_names_one_within(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no spec\.json"):
        show(tmp_path, as_json=False)
    put_runs(tmp_path, SUITE, "good", 0.8)
    with pytest.raises(SetupError, match=r"ptb show .*good-llama-maths-s0"):
        show(tmp_path, as_json=False)


@pytest.mark.parametrize("what", LISTINGS)
def test_every_list_can_be_printed_and_read_by_a_script(what: str, capsys) -> None:
    listing(what, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert rows
    listing(what, as_json=False)
    assert str(next(iter(rows[0].values()))) in capsys.readouterr().out


def test_an_unknown_list_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'agents'"):
        listing("agent", as_json=False)
