"""JSON, CSV and Markdown: a failure is never a number, a name is never a formula or markup."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from posttrainbench.leaderboard import Leaderboard, RankRange
from posttrainbench.report import wording
from posttrainbench.report.exports import CSV_COLUMNS, markdown_text, to_csv, to_json, to_markdown


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for child in value.values() for number in numbers_in(child)]
    if isinstance(value, list):
        return [number for child in value for number in numbers_in(child)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def rows_of(board: Leaderboard) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(board))))


def entry_of(board: Leaderboard, label: str) -> dict:
    return next(entry for entry in json.loads(to_json(board))["entries"] if entry["label"] == label)


def test_a_failure_never_becomes_a_number_in_json(board: Leaderboard) -> None:
    runs = [run for cell in entry_of(board, "broken")["cells"] for run in cell["runs"]]
    for run in runs:
        assert run["outcome"]["kind"] == "failure"
        assert not numbers_in(run["outcome"])
        assert run["counted"] == "base", "the stand-in says that it is one"
        assert run["stderr"] is None


def test_what_is_missing_is_null_in_json(board: Leaderboard) -> None:
    slow = entry_of(board, "slow")
    assert (slow["total"], slow["partial"], slow["rank"], slow["submitted"]) == (None, None, None, None)
    assert all(run["value"] is None for cell in slow["cells"] for run in cell["runs"])
    honest = entry_of(board, "honest")
    assert honest["total"]["sd_over_seeds"] is not None
    assert entry_of(board, "odd")["total"]["sd_over_seeds"] is None


def test_the_json_schema_is_what_scripts_rely_on(board: Leaderboard) -> None:
    document = json.loads(to_json(board))
    assert document["schema"] == "posttrainbench.leaderboard/1"
    assert set(document) == {
        *("schema", "suite", "suite_version", "suite_title", "suite_digest", "policy", "policy_text"),
        *("base_models", "benchmarks", "weights", "references", "entries", "superseded"),
        *("reference_sources", "published"),
    }
    assert set(document["entries"][0]) == {
        *("label", "agent", "rank", "total", "partial", "submitted", "parts", "columns", "cells", "missing"),
        *("complete", "marks", "ranks"),
    }
    assert set(document["entries"][0]["cells"][0]["runs"][0]) == {
        *("seed", "run_id", "outcome", "verdict", "isolated", "counted", "value", "stderr", "why", "marks"),
        "disputed",
    }


def test_scores_are_fractions_in_json_and_csv(board: Leaderboard) -> None:
    assert abs(entry_of(board, "honest")["total"]["mean"] - 0.62) < 1e-12
    row = next(row for row in rows_of(board) if row["agent"] == "honest")
    assert abs(float(row["total"]) - 0.62) < 1e-12


def test_csv_has_a_row_per_cell_and_seed_and_empty_fields_for_nothing(board: Leaderboard) -> None:
    rows = rows_of(board)
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len([row for row in rows if row["agent"] == "honest"]) == 8
    broken = next(row for row in rows if row["agent"] == "broken")
    assert (broken["outcome"], broken["score"], broken["failure"]) == ("failure", "", "agent_crashed")
    missing = next(row for row in rows if row["agent"] == "slow")
    assert (missing["outcome"], missing["value"], missing["total"]) == ("missing", "", "")


def test_no_csv_field_of_text_is_a_formula(board: Leaderboard) -> None:
    for row in rows_of(board):
        for column, field in row.items():
            assert not field.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")), column
    assert any(row["agent"].startswith("'=A") for row in rows_of(board))


def test_markdown_rows_all_have_the_same_cells(board: Leaderboard) -> None:
    table = [line for line in to_markdown(board).splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + len(board.entries)


def test_markdown_of_a_hostile_name_is_text(board: Leaderboard) -> None:
    text = to_markdown(board)
    assert "<script>" not in text
    assert "@all" not in text
    assert "http://" not in text
    assert "\n# head" not in text


def test_markdown_text_escapes_what_has_meaning() -> None:
    assert markdown_text("a|b") == "a&#124;b"
    assert markdown_text("*x* _y_") == "\\*x\\* \\_y\\_"
    assert markdown_text("&lt;") == "&#38;lt;"
    assert markdown_text("plain-name 1.0") == "plain-name 1.0"


def test_an_empty_leaderboard_can_be_written(board: Leaderboard) -> None:
    empty = replace(board, entries=())
    assert json.loads(to_json(empty))["entries"] == []
    assert to_csv(empty).count("\n") == 1
    assert to_markdown(empty)


def test_the_range_of_ranks_has_a_column_where_it_was_drawn(board: Leaderboard) -> None:
    head = next(line for line in to_markdown(board).splitlines() if line.startswith("| #"))
    assert "95%" not in head
    first, *others = board.entries
    drawn = replace(board, entries=(replace(first, ranks=RankRange(1, 3)), *others))
    lines = [line for line in to_markdown(drawn).splitlines() if line.startswith("|")]
    assert lines[0].startswith("| # | 95% | agent |")
    assert f"| 1{wording.DASH}3 |" in next(line for line in lines if first.label in line)
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
