"""A leaderboard as text for other programs: JSON, CSV, Markdown. Hostile names in it are escaped."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict

from posttrainbench.leaderboard import Cell, CellRun, Entry, Leaderboard, Mark, PublishedEntry
from posttrainbench.record import Score
from posttrainbench.report import wording
from posttrainbench.report.visible import visible
from posttrainbench.report.wording import NOVEL, points

JSON_SCHEMA = "posttrainbench.leaderboard/1"


# --- JSON ---------------------------------------------------------------------------------------------------


def to_json(leaderboard: Leaderboard) -> str:
    """The whole leaderboard, fractions throughout. A failure is an object with its reason, never a number."""
    document = {"schema": JSON_SCHEMA, **asdict(leaderboard)}
    document["entries"] = [_entry_json(entry) for entry in leaderboard.entries]
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _entry_json(entry: Entry) -> dict[str, object]:
    return {
        **asdict(entry),
        "complete": entry.complete,
        "marks": list(entry.marks),
        "cells": [_cell_json(cell) for cell in entry.cells],
    }


def _cell_json(cell: Cell) -> dict[str, object]:
    runs = [{**asdict(run), "marks": list(run.marks)} for run in cell.runs]
    return {**asdict(cell), "name": cell.name, "marks": list(cell.marks), "runs": runs}


# --- CSV ----------------------------------------------------------------------------------------------------

ENTRY_COLUMNS: tuple[str, ...] = ("rank", "agent", "scaffold", "agent_model", "complete", "total")
ENTRY_COLUMNS += ("sd_over_seeds", "sampling_stderr", "total_stderr", "partial", "submitted")
RUN_COLUMNS: tuple[str, ...] = ("base_model", "benchmark", "weight", "seed", "run_id", "outcome", "score")
RUN_COLUMNS += ("stderr", "n", "failure", "verdict", "isolated", "counted", "value", "why")
CSV_COLUMNS = (*ENTRY_COLUMNS, *RUN_COLUMNS)


def to_csv(leaderboard: Leaderboard) -> str:
    """One row per agent, cell and seed, the agent's aggregate repeated in each; fractions, empty where none.

    What others published follows, one row each, with the outcome "published".

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for entry in leaderboard.entries:
        for cell in entry.cells:
            for run in cell.runs:
                row = {**_entry_fields(entry), **_run_fields(cell, run)}
                writer.writerow([_csv_field(row[column]) for column in CSV_COLUMNS])
    for known in _published_fields(leaderboard):
        writer.writerow([_csv_field(known.get(column)) for column in CSV_COLUMNS])
    return out.getvalue()


def _published_fields(leaderboard: Leaderboard) -> Iterator[dict[str, object]]:
    """A row per entry that others published: nothing is known of its runs."""
    if leaderboard.published is None:
        return
    for entry in leaderboard.published.entries:
        yield {
            "agent": entry.label,
            "scaffold": entry.scaffold,
            "total": entry.mean,
            "sd_over_seeds": entry.sd,
            "outcome": "published",
            "why": leaderboard.published.source,
        }


def _entry_fields(entry: Entry) -> dict[str, object]:
    total = entry.total
    return {
        "rank": entry.rank,
        "agent": entry.label,
        "scaffold": entry.agent.scaffold,
        "agent_model": entry.agent.agent_model,
        "complete": entry.complete,
        "total": total and total.mean,
        "sd_over_seeds": total and total.sd_over_seeds,
        "sampling_stderr": total and total.sampling_stderr,
        "total_stderr": total and total.total_stderr,
        "partial": entry.partial,
        "submitted": entry.submitted,
    }


def _run_fields(cell: Cell, run: CellRun) -> dict[str, object]:
    score = run.outcome if isinstance(run.outcome, Score) else None
    failure = run.outcome if run.outcome and not isinstance(run.outcome, Score) else None
    return {
        "base_model": cell.base_model,
        "benchmark": cell.benchmark,
        "weight": cell.weight,
        "seed": run.seed,
        "run_id": run.run_id,
        "outcome": run.outcome.kind if run.outcome else "missing",
        "score": score and score.mean,
        "stderr": score and score.stderr,
        "n": score and score.n,
        "failure": failure and failure.reason_kind.value,
        "verdict": run.verdict and run.verdict.value,
        "isolated": run.isolated,
        "counted": run.counted.value,
        "value": run.value,
        "why": run.why,
    }


def _csv_field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = visible(str(value), 500)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


# --- Markdown -----------------------------------------------------------------------------------------------


def to_markdown(leaderboard: Leaderboard) -> str:
    """A table and its notes, percent as on the terminal."""
    novel = wording.has_part(leaderboard, NOVEL)
    ranges = any(entry.ranks for entry in leaderboard.entries)
    heads = [
        "#",
        *(["95%"] if ranges else []),
        "agent",
        "",
        "score",
        "± items",
        "± seeds",
        "n",
        *(["novel"] if novel else []),
    ]
    heads += [markdown_text(name) for name in leaderboard.benchmarks]
    aligned = [":--" if head in ("agent", "") else "--:" for head in heads]
    rows = [heads, aligned]
    for entry in wording.rows(leaderboard):
        rank, *rest = _markdown_row(entry, leaderboard, novel)
        rows.append([rank, *([_range_text(entry)] if ranges else []), *rest])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = "\n".join(
        f"- {_symbol_text((note.mark,))} **{markdown_text(note.agent)}** {markdown_text(note.text)}"
        for note in wording.notes(leaderboard)
    )
    marks = "; ".join(f"{_symbol_text((m,))} {wording.MARKS[m][2]}" for m in wording.marks_in(leaderboard))
    captions = "  \n".join(markdown_text(line) for line in wording.captions(leaderboard))
    parts = [f"### {markdown_text(wording.title(leaderboard))}", table, notes, marks, captions]
    return "\n\n".join(part for part in parts if part) + "\n"


def _range_text(entry: Entry | PublishedEntry) -> str:
    return wording.ranks_text(entry) if isinstance(entry, Entry) else ""


def _markdown_row(entry: Entry | PublishedEntry, leaderboard: Leaderboard, novel: bool) -> list[str]:
    if isinstance(entry, PublishedEntry):
        name = markdown_text(visible(entry.label, 60))
        known = ["", name, wording.PUBLISHED[0], points(entry.mean), "", points(entry.sd), str(entry.runs)]
        return known + [""] * (len(leaderboard.benchmarks) + novel)
    total, part = entry.total, entry.part(NOVEL)
    score = wording.score_text(entry)
    return [
        wording.rank_text(entry, leaderboard),
        markdown_text(visible(entry.label, 60)),
        _symbol_text(entry.marks),
        f"**{score}**" if entry.rank == 1 else score,
        points(total.sampling_stderr if total else None),
        points(total.sd_over_seeds if total else None),
        str(len(entry.cells[0].runs)),
        *([points(part.mean if part else None)] if novel else []),
        *(
            points(column.estimate.mean if column.estimate else None)
            + _symbol_text(entry.marks_on(column.benchmark)[:1])
            for column in entry.columns
        ),
    ]


def _symbol_text(marks: tuple[Mark, ...]) -> str:
    return markdown_text(wording.symbols(marks))


def markdown_text(text: str) -> str:
    """The text as Markdown shows it letter by letter: no markup, links, mentions or HTML of its own."""
    quoted = re.sub(
        r"[&<>|@`\[\]]|:(?=/)|(?<=www)\.", lambda found: f"&#{ord(found[0])};", visible(text, 500)
    )
    return re.sub(r"([\\*_~#!$^])", r"\\\1", quoted.replace("&#", "\0")).replace("\0", "&#")
