"""The picture is well-formed, self-contained, and shows what does not count."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from xml.etree import ElementTree

from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Leaderboard, PublishedEntry, PublishedFigures
from posttrainbench.report.exports import to_csv
from posttrainbench.report.picture import leaderboard_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_it_is_well_formed_and_loads_nothing(board: Leaderboard) -> None:
    picture = leaderboard_svg(board)
    root = ElementTree.fromstring(picture)
    assert not list(root.iter(f"{SVG}script"))
    assert not list(root.iter(f"{SVG}image"))
    assert "href" not in picture
    assert picture.count("url(") == picture.count("url(#hatch)")


def test_every_agent_is_named_and_ordered_as_ranked(board: Leaderboard) -> None:
    texts = [text.text or "" for text in ElementTree.fromstring(leaderboard_svg(board)).iter(f"{SVG}text")]
    places = [texts.index(entry.label) for entry in board.entries if len(entry.label) < 20]
    assert places == sorted(places)


def test_only_the_disqualified_are_hatched(board: Leaderboard) -> None:
    assert leaderboard_svg(board).count('fill="url(#hatch)"') == 1
    honest = replace(board, entries=tuple(e for e in board.entries if e.label != "cheat"))
    assert 'fill="url(#hatch)"' not in leaderboard_svg(honest)


def test_bars_are_as_long_as_scores_are_high(board: Leaderboard) -> None:
    two = replace(
        board, references=(), entries=tuple(e for e in board.entries if e.label in ("honest", "odd"))
    )
    bars = [
        r for r in ElementTree.fromstring(leaderboard_svg(two)).iter(f"{SVG}rect") if r.get("height") == "20"
    ]
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert abs(widths[1] / widths[0] - 0.2 / 0.62) < 0.01


def test_hostile_names_are_text(board: Leaderboard) -> None:
    picture = leaderboard_svg(board)
    assert "<script>" not in picture
    assert "\x1b" not in picture


def test_an_empty_leaderboard_is_a_picture_too(board: Leaderboard) -> None:
    ElementTree.fromstring(leaderboard_svg(replace(board, entries=(), references=())))


def test_an_agent_that_cheated_once_is_counted_not_hatched(board: Leaderboard) -> None:
    honest = next(entry for entry in board.entries if entry.label == "honest")
    cell = honest.cells[0]
    bad = replace(cell, runs=(replace(cell.runs[0], verdict=VerdictLabel.DISQUALIFIED), *cell.runs[1:]))
    picture = leaderboard_svg(replace(board, entries=(replace(honest, cells=(bad, *honest.cells[1:])),)))
    assert 'fill="url(#hatch)"' not in picture
    assert "1/8 disqualified" in picture


def test_what_others_published_stands_among_the_ranked_and_is_said_to_be_theirs(board: Leaderboard) -> None:
    best = board.entries[0]
    assert best.total is not None
    theirs = tuple(
        PublishedEntry("theirs", "CLI", best.total.mean + shift, 3, 0.03) for shift in (0.01, -0.01)
    )
    beside = replace(board, published=PublishedFigures("made", "A paper", 0.001, (), theirs))
    picture = leaderboard_svg(beside)
    texts = [text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    labels = [text for text in texts if text in (best.label, "theirs (CLI)")]
    assert labels == ["theirs (CLI)", best.label, "theirs (CLI)"]
    assert texts.count("published") == 2
    assert any("not run here: A paper" in text for text in texts)
    assert any(text.endswith(" ± 1.7") for text in texts), "0.03 over three runs"


def test_published_entries_are_rows_of_the_csv_too(board: Leaderboard) -> None:
    theirs = PublishedEntry("theirs", "", 0.5, 1)
    beside = replace(board, published=PublishedFigures("made", "A paper", 0.001, (), (theirs,)))
    (row,) = [r for r in csv.DictReader(io.StringIO(to_csv(beside))) if r["outcome"] == "published"]
    assert (row["agent"], row["total"], row["sd_over_seeds"], row["why"]) == ("theirs", "0.5", "", "A paper")
