"""Our aggregation reproduces the benchmark's published figures, from its own tables of cells.

The tables are not in this repository. They are looked for in the folder that PTB_BENCHMARK_DATA names, else
in `../shared/benchmarks` beside the project. What cannot be reproduced stands in docs/published.md.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Counted, Entry, PublishedCell, PublishedTable
from posttrainbench.ranking.aggregate import rank_outcomes
from posttrainbench.ranking.policy import EXCLUDE, PAPER
from posttrainbench.ranking.published import outcomes_of, references_of
from posttrainbench.ranking.uncertainty import sample_sd
from posttrainbench.ranking.weights import headroom_weights
from posttrainbench.record import Failure
from posttrainbench.stores.published import (
    TEST_ITEMS,
    published_figures,
    read_baselines,
    read_figures,
    read_table,
    read_weights,
)
from posttrainbench.suites import load_suite
from posttrainbench.task import Reference, Suite

PROJECT = Path(__file__).resolve().parents[3]
TABLES = Path(os.environ.get("PTB_BENCHMARK_DATA", PROJECT.parent / "shared" / "benchmarks")) / "leaderboard"
V11 = TABLES / "v1.1_2026-03-22"
LOCUS = TABLES / "locus_v1.1"
pytestmark = pytest.mark.skipif(not V11.is_dir(), reason=f"the published tables are not at {TABLES}")

EXACT = 1e-9
SUITE = load_suite("ptb-v1.0")
REPLACED = {  # a measured number gave way to the base model's: method -> how many cells
    "claude_non_api_claude-sonnet-4-6_10h": 2,
    "opencode_anthropic_claude-opus-4-5_10h": 1,
    "opencode_opencode_kimi-k2.5_10h_run2": 5,
    "opencode_opencode_minimax-m2.5-free_10h_run2": 3,
}
PAPER_LABELS = {  # of runs that were done once: (agent, scaffold) in the paper's table -> final_*.csv
    ("Claude Opus 4.5", "OpenCode"): "opencode_anthropic_claude-opus-4-5_10h",
    ("Claude Sonnet 4.6", "Claude Code"): "claude_non_api_claude-sonnet-4-6_10h",
    ("Gemini 3 Pro", "OpenCode"): "opencode_opencode_gemini-3-pro_10h",
    ("GLM 5", "OpenCode"): "opencode_zai_glm-5_10h_run2",
    ("Kimi K2.5", "OpenCode"): "opencode_opencode_kimi-k2.5_10h_run2",
    ("Claude Sonnet 4.5", "Claude Code"): "claude_claude-sonnet-4-5_10h_final_v3",
    ("MiniMax M2.5", "OpenCode"): "opencode_opencode_minimax-m2.5-free_10h_run2",
    ("MiniMax M2.1", "OpenCode"): "opencode_opencode_minimax-m2.1-free_10h",
    ("GPT 5.1 Codex Max", "OpenCode"): "opencode_opencode_gpt-5.1-codex-max_10h",
    ("GLM 4.7", "OpenCode"): "opencode_opencode_glm-4.7-free_10h",
    ("Qwen3 Max", "Claude Code"): "qwen3max_qwen3-max-2026-01-23_10h",
    ("Kimi K2 Thinking", "OpenCode"): "opencode_opencode_kimi-k2-thinking_10h",
}
AGENTS = {  # of runs that were done several times: name of the tables -> name and scaffold in the paper
    "Opus-4.6": ("Claude Opus 4.6", "Claude Code"),
    "Gemini-3.1-Pro": ("Gemini 3.1 Pro", "OpenCode"),
    "GPT-5.2": ("GPT-5.2", "Codex CLI"),
    "GPT-5.4-High": ("GPT 5.4 (High)", "Codex CLI"),
    "GPT-5.1-Codex-Max": ("GPT 5.1 Codex Max", "Codex CLI"),
    "Gemini-3-Pro": ("Gemini 3 Pro", "Gemini CLI"),
    "GPT-5.3-Codex_High": ("GPT 5.3 Codex (High)", "Codex CLI"),
    "GPT-5.2-Codex": ("GPT 5.2 Codex", "Codex CLI"),
    "Opus-4.5": ("Claude Opus 4.5", "Claude Code"),
    "GPT-5.3-Codex_Med": ("GPT 5.3 Codex (Med)", "Codex CLI"),
}

PAPER_COLUMNS = (
    "aime2025", "arena_hard_writing", "bfcl", "gpqa_main", "gsm8k", "healthbench_easy", "humaneval",
)  # fmt: skip
ROUNDED_TWICE = 0.055  # percent: to two decimals, then to one
# In the paper's table: empty boxes (also those around a "+- 0.0" that is not shown), colours and sizes.
INVISIBLE = r"\\phantom\{(?:[^{}]|\{[^{}]*\})*\}|\\cellcolor\{\w+\}|\\(?:tiny|scriptsize|textbf|,)"
CELLS_OF_V11 = (*AGENTS, "Opus-4.6-1M")  # agents whose mean cells v1.1 has, and v1.2 an overall score of


def references() -> tuple[Reference, ...]:
    tables = read_baselines(V11)
    return tuple(r for kind, table in tables.items() for r in references_of(SUITE, kind, table, "published"))


def within(table: PublishedTable, suite: Suite) -> PublishedTable:
    """The table without the benchmarks that the suite dropped."""
    names = {benchmark.name for benchmark in suite.benchmarks}
    return replace(table, cells=tuple(cell for cell in table.cells if cell.benchmark in names))


def entry_of(
    runs: list[PublishedTable], suite: Suite = SUITE, final: PublishedTable | None = None, policy: Any = PAPER
) -> Entry:
    """Our entry of one agent with these runs."""
    outcomes = [
        outcome
        for seed, run in enumerate(runs)
        for outcome in outcomes_of(suite, "agent", within(run, suite), TEST_ITEMS, final, seed)
    ]
    (entry,) = rank_outcomes(suite, outcomes, policy, references()).entries
    return entry


def total_of(runs: list[PublishedTable], suite: Suite = SUITE) -> float:
    entry = entry_of(runs, suite)
    assert entry.total is not None
    return entry.total.mean


def locus_runs() -> list[PublishedTable]:
    return [read_table(LOCUS / f"locus_run_{number}.csv") for number in (1, 2, 3)]


# --- means and deviations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "folder"), [("ptb-v1.0", "locus_v1.1"), ("ptb-v1.2", "v1.2")])
def test_the_mean_and_deviation_of_three_published_runs(suite: str, folder: str) -> None:
    locus = next(e for e in read_figures(TABLES / folder, suite).entries if e.agent == "Locus")
    total = entry_of(locus_runs(), load_suite(suite)).total
    assert total is not None
    assert total.mean == pytest.approx(locus.mean, abs=EXACT)
    assert total.sd_over_seeds == pytest.approx(locus.sd, abs=EXACT)
    assert total.seeds == locus.runs


@pytest.mark.parametrize("folder", ["locus_v1.1", "v1.2"])
def test_the_mean_and_deviation_of_every_cell_of_three_published_runs(folder: str) -> None:
    name = "Locus" if folder == "v1.2" else "locus"
    means = read_table(TABLES / folder / f"aggregated_avg_{name}.csv")
    deviations = read_table(TABLES / folder / f"aggregated_std_{name}.csv")
    runs = locus_runs()
    assert means.cells
    for cell in means.cells:
        values = [run.value(cell.base_model, cell.benchmark) or 0.0 for run in runs]
        assert sum(values) / 3 == pytest.approx(cell.value, abs=EXACT)
        published = deviations.value(cell.base_model, cell.benchmark)
        assert sample_sd(values) == pytest.approx(published, abs=EXACT)


def test_the_totals_of_every_agent_whose_cells_are_published() -> None:
    published = {entry.agent: entry for entry in read_figures(V11, SUITE.name).entries}
    names = [path.stem.removeprefix("aggregated_avg_") for path in sorted(V11.glob("aggregated_avg_*.csv"))]
    checked = [name for name in names if name in published]
    assert len(checked) == 11
    for name in checked:
        total = total_of([read_table(V11 / f"aggregated_avg_{name}.csv")])
        assert total == pytest.approx(published[name].mean, abs=EXACT), name


def test_no_published_deviation_contradicts_those_of_its_cells() -> None:
    """Single runs of these agents are not published; the deviation of a sum is at most the sum of theirs."""
    published = {entry.agent: entry for entry in read_figures(V11, SUITE.name).entries}
    checked = [name for name in published if (V11 / f"aggregated_std_{name}.csv").is_file()]
    assert len(checked) == 11
    for name in checked:
        most = total_of([_capped(read_table(V11 / f"aggregated_std_{name}.csv"))])
        assert (published[name].sd or 0.0) <= most + EXACT, name


def _capped(table: PublishedTable) -> PublishedTable:
    return replace(table, cells=tuple(replace(c, value=min(1.0, c.value or 0.0)) for c in table.cells))


# --- weights and baselines ----------------------------------------------------------------------------------


def test_the_weights_follow_from_the_published_baselines_and_are_those_of_our_suites() -> None:
    tables = read_baselines(V11)
    means = {
        kind: {
            b.name: [c.value for c in tables[kind].cells if c.benchmark == b.name and c.value is not None]
            for b in SUITE.benchmarks
        }
        for kind in ("base", "instruct")
    }
    assert all(len(scores) == 4 for scores in means["instruct"].values())
    weights = headroom_weights(means["base"], means["instruct"])
    assert weights == pytest.approx(read_weights(V11 / "factors.json"), abs=1e-12)
    assert {b.name: b.weight for b in SUITE.benchmarks} == pytest.approx(weights, abs=1e-12)
    later = read_weights(TABLES / "v1.2" / "factors-v1.2.json")
    assert {b.name: b.weight for b in load_suite("ptb-v1.2").benchmarks} == pytest.approx(later, abs=1e-12)
    rest = 1.0 - weights.pop("bfcl")
    assert {name: weight / rest for name, weight in weights.items()} == pytest.approx(later, abs=1e-12)


def test_the_totals_of_base_and_instruct_models() -> None:
    board = rank_outcomes(SUITE, (), PAPER, references())
    totals = {reference.kind: reference.total for reference in board.references}
    assert totals["instruct"] == pytest.approx(0.511358543935, abs=EXACT)
    assert totals["base"] == pytest.approx(0.075275685341, abs=EXACT)
    assert totals["few_shot"] == pytest.approx(0.180776486055, abs=EXACT)
    for published in published_figures("ptb-v1.0").references:
        assert totals[published.kind] == pytest.approx(published.total, abs=0.0005)


# --- cells without a score ----------------------------------------------------------------------------------


def finals() -> list[str]:
    return sorted(path.stem.removeprefix("final_") for path in V11.glob("final_*.csv"))


@pytest.mark.parametrize("method", finals() if V11.is_dir() else ["none"])
def test_cells_without_a_score_of_their_own_count_as_published(method: str) -> None:
    final = read_table(V11 / f"final_{method}.csv")
    if not (V11 / f"aggregated_{method}.csv").is_file():
        assert method == "claude_claude-sonnet-4-5_10h_final_v3", "the one run without its raw table"
        return
    raw = read_table(V11 / f"aggregated_{method}.csv")
    entry = entry_of([raw], final=final)
    assert entry.total is not None
    assert entry.total.mean == pytest.approx(total_of([final]), abs=EXACT)
    for cell in entry.cells:
        published = final.value(cell.base_model.rsplit("/", 1)[-1], cell.benchmark)
        assert cell.runs[0].value == pytest.approx(published, abs=EXACT), cell.name
        assert (cell.runs[0].counted is Counted.BASE) == (
            isinstance(cell.runs[0].outcome, Failure) or cell.runs[0].verdict is VerdictLabel.DISQUALIFIED
        )
    replaced = [run for cell in entry.cells for run in cell.runs if run.verdict is VerdictLabel.DISQUALIFIED]
    assert len(replaced) == REPLACED.get(method, 0)


def test_without_the_stand_in_a_run_with_empty_cells_has_no_total() -> None:
    raw = read_table(V11 / "aggregated_opencode_zai_glm-5_10h_run2.csv")
    entry = entry_of([raw], policy=EXCLUDE)
    assert entry.total is None
    assert len(entry.missing) == 4


# --- the paper's table, and the website's -------------------------------------------------------------------


def test_the_figures_that_come_with_the_package_are_the_tables_rounded() -> None:
    figures = {(entry.agent, entry.scaffold): entry for entry in published_figures("ptb-v1.0").entries}
    exact = {entry.agent: entry for entry in read_figures(V11, SUITE.name).entries}
    assert set(figures) == set(PAPER_LABELS) | set(AGENTS.values())
    for label, method in PAPER_LABELS.items():
        total = total_of([read_table(V11 / f"final_{method}.csv")])
        assert figures[label].mean == pytest.approx(total, abs=0.0005 + EXACT), label
        assert (figures[label].sd, figures[label].runs) == (None, 1)
    for name, label in AGENTS.items():
        assert figures[label].mean == pytest.approx(exact[name].mean, abs=0.0005 + EXACT), label
        assert figures[label].sd == pytest.approx(exact[name].sd, abs=0.0005 + EXACT), label
        assert figures[label].runs == exact[name].runs


@pytest.mark.parametrize("label", [*PAPER_LABELS, *AGENTS.values()], ids=lambda label: label[0])
def test_the_columns_of_the_papers_table(label: tuple[str, str]) -> None:
    """A column is the mean over base models; its +- is the mean of the cells' deviations over runs."""
    names = {published: name for name, published in AGENTS.items()}
    once = label in PAPER_LABELS
    means = V11 / (f"final_{PAPER_LABELS[label]}.csv" if once else f"aggregated_avg_{names[label]}.csv")
    ours = [_column(read_table(means), benchmark) for benchmark in PAPER_COLUMNS]
    (total, *_), *columns = _papers_table()[f"{label[0]} ({label[1]})"]
    entry = next(e for e in published_figures("ptb-v1.0").entries if (e.agent, e.scaffold) == label)
    assert total == pytest.approx(100 * entry.mean)
    assert [column[0] for column in columns] == pytest.approx(ours, abs=ROUNDED_TWICE)
    if once:
        assert all(len(column) == 1 or column[1] == 0.0 for column in columns)
        return
    deviations = read_table(V11 / f"aggregated_std_{names[label]}.csv")
    spread = [_column(deviations, benchmark) for benchmark in PAPER_COLUMNS]
    assert [column[1] for column in columns] == pytest.approx(spread, abs=ROUNDED_TWICE)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Official Instruct Models (baseline)", "instruct"),
        ("Base Model (Few-Shot)", "few_shot"),
        ("Base Model (Zero-Shot)", "base"),
    ],
)
def test_the_columns_of_the_papers_baselines(label: str, kind: str) -> None:
    _, *columns = _papers_table()[label]
    ours = [_column(read_baselines(V11)[kind], benchmark) for benchmark in PAPER_COLUMNS]
    assert [column[0] for column in columns] == pytest.approx(ours, abs=ROUNDED_TWICE)


def _column(table: PublishedTable, benchmark: str) -> float:
    """Percent: the mean over base models."""
    values = [cell.value for cell in table.cells if cell.benchmark == benchmark and cell.value is not None]
    assert len(values) == 4
    return 100 * sum(values) / 4


def _papers_table() -> dict[str, list[tuple[float, ...]]]:
    """Method -> (mean, deviation if there is one) of the total and of each benchmark, in percent."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for line in (V11 / "paper-plots" / "table_leaderboard.tex").read_text().splitlines():
        cells = [re.sub(INVISIBLE, "", cell).strip(" \\{}") for cell in line.split("&")]
        if len(cells) == 3 + len(PAPER_COLUMNS) and "makecell" not in line:
            method = cells[1].replace("{", "").replace("}", "")
            rows[method] = [tuple(map(float, re.findall(r"\d+\.\d", cell))) for cell in cells[2:]]
    return rows


def test_the_websites_cells_are_the_tables_rounded_and_marked() -> None:
    website = json.loads(gzip.decompress((V11 / "scores.json.gz").read_bytes()))["modelBenchmarkData"]
    grid = website["opus-4.5-opencode"]
    raw = read_table(V11 / "aggregated_opencode_anthropic_claude-opus-4-5_10h.csv")
    final = read_table(V11 / "final_opencode_anthropic_claude-opus-4-5_10h.csv")
    for cell in final.cells:
        name = {v: k for k, v in {"arenahardwriting": "arena_hard_writing"}.items()}.get(
            cell.benchmark, cell.benchmark.removesuffix("_easy").replace("gpqa_main", "gpqamain")
        )
        shown = grid[cell.base_model][name]
        assert shown["value"] == pytest.approx(100 * (cell.value or 0.0), abs=0.0051)
        empty = raw.value(cell.base_model, cell.benchmark) is None
        assert bool(shown["fallbackType"]) == empty, "what is marked is exactly what had no score"


# --- what does not agree, as docs/published.md lists it -----------------------------------------------------


def test_the_known_discrepancies_are_still_there() -> None:
    """Each of these is explained in docs/published.md; one that vanishes is to be struck from that page."""
    exact = {entry.agent: entry for entry in read_figures(V11, SUITE.name).entries}
    with (V11 / "paper-plots" / "fig3_time_budget_ablation.csv").open(newline="") as lines:
        ten_hours = {r["Model"]: float(r["Score"]) for r in csv.DictReader(lines) if r["TimeBudget"] == "10"}
    assert ten_hours["GPT-5.1 Codex Max"] - exact["GPT-5.1-Codex-Max"].mean == pytest.approx(0.0048, abs=1e-3)
    assert ten_hours["Gemini 3 Pro"] - exact["Gemini-3-Pro"].mean == pytest.approx(0.0018, abs=1e-3)
    assert (V11 / "aggregated_avg_GPT-5.3-Codex.csv").read_bytes() == (
        V11 / "aggregated_avg_GPT-5.3-Codex_Med.csv"
    ).read_bytes()
    once = total_of([read_table(V11 / "final_opencode_opencode_gemini-3.1-pro_10h_run2.csv")])
    assert abs(once - exact["Gemini-3.1-Pro"].mean) > 0.005, "one of the three runs, not their mean"


def test_v1_2_agrees_for_the_agents_whose_cells_it_did_not_change() -> None:
    later = {e.agent: e.mean for e in read_figures(TABLES / "v1.2", "ptb-v1.2").entries}
    suite = load_suite("ptb-v1.2")
    ours = {name: total_of([read_table(V11 / f"aggregated_avg_{name}.csv")], suite) for name in CELLS_OF_V11}
    same = {name for name in CELLS_OF_V11 if abs(ours[name] - later[name]) < EXACT}
    assert same == {"GPT-5.2-Codex", "Gemini-3-Pro"}


def test_a_table_says_why_a_cell_is_empty() -> None:
    table = read_table(V11 / "aggregated_opencode_zai_glm-5_10h_run2.csv")
    assert PublishedCell("Qwen3-4B-Base", "bfcl", None, "ERR") in table.cells
