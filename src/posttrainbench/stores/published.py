"""What others published: overall figures that come with the package, and tables that a person has.

The tables (the CSV files of the benchmark's website) are read where they lie; none of them is part of the
package, see docs/published.md.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.leaderboard import PublishedCell, PublishedEntry, PublishedFigures, PublishedTable

# How the tables call what our suites call otherwise.
BENCHMARKS = {
    "arenahardwriting": "arena_hard_writing",
    "gpqamain": "gpqa_main",
    "healthbench": "healthbench_easy",
}
# How many test items a published score was taken over: the full sets.
TEST_ITEMS = {
    "aime2025": 30,
    "arena_hard_writing": 250,
    "bfcl": 100,
    "gpqa_main": 448,
    "gsm8k": 1319,
    "healthbench_easy": 245,
    "humaneval": 164,
}
INSTRUCT_OF = {  # base model -> its official instruct sibling, by short names
    "Qwen3-1.7B-Base": "Qwen3-1.7B",
    "Qwen3-4B-Base": "Qwen3-4B",
    "SmolLM3-3B-Base": "SmolLM3-3B",
    "gemma-3-4b-pt": "gemma-3-4b-it",
}
TOTALS = "single_metrics_aggregated.csv"
BASELINE, FEW_SHOT = "aggregated_baseline.csv", "aggregated_baseline_fewshot.csv"

_FIGURES = TypeAdapter(PublishedFigures)


# --- with the package ---------------------------------------------------------------------------------------


def published_suites() -> tuple[str, ...]:
    """The suites of which published figures come with the package."""
    files = (entry.name for entry in (resources.files("posttrainbench") / "published").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def published_figures(suite: str) -> PublishedFigures:
    """The figures that come with the package.

    Raises:
        SetupError: there are none of that suite.
    """
    if suite not in published_suites():
        known = ", ".join(published_suites())
        raise SetupError(f"no published figures of suite {suite} come with the package; there are of {known}")
    file = resources.files("posttrainbench") / "published" / f"{suite}.toml"
    return _FIGURES.validate_python(tomllib.loads(file.read_text(encoding="utf-8")))


# --- tables that a person has -------------------------------------------------------------------------------


def read_figures(path: Path, suite: str) -> PublishedFigures:
    """The overall scores in `single_metrics_aggregated.csv`, or in the folder that holds it.

    Raises:
        SetupError: no such file.
        InvalidFile: it holds something else.
    """
    file = path / TOTALS if path.is_dir() else path
    rows = list(_rows(file))
    try:
        entries = [
            PublishedEntry(row["agent"], "", float(row["avg"]), int(row["n"]), float(row["std"]))
            for row in rows
        ]
    except (KeyError, ValueError):
        raise InvalidFile(f"{file}: expected the columns agent, avg, std, n with numbers in them") from None
    best_first = sorted(entries, key=lambda entry: entry.mean, reverse=True)
    return PublishedFigures(suite, str(file), 0.0, (), tuple(best_first))


def read_table(path: Path) -> PublishedTable:
    """A table of one row per base model and one column per benchmark.

    Raises:
        SetupError: no such file.
        InvalidFile: it has no column `model`.
    """
    cells = []
    for row in _rows(path):
        if "model" not in row:
            raise InvalidFile(f"{path}: expected a column `model`")
        model = row.pop("model")
        cells += [_cell(model, BENCHMARKS.get(name, name), text) for name, text in row.items()]
    return PublishedTable(path.stem, tuple(cells))


def read_weights(path: Path) -> dict[str, float]:
    """Benchmark -> weight, from a file such as factors.json.

    Raises:
        InvalidFile: no JSON object of numbers.
    """
    try:
        found = TypeAdapter(dict[str, float]).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidFile(f"{path}: no table of weights: {error}") from None
    return {BENCHMARKS.get(name, name): weight for name, weight in found.items()}


def read_baselines(folder: Path) -> dict[str, PublishedTable]:
    """Kind ("base", "few_shot", "instruct") -> its table, rows named by base model; what the folder has.

    Raises:
        SetupError: the folder holds no table of baselines.
    """
    both = read_table(folder / BASELINE)
    bases = PublishedTable(both.name, tuple(c for c in both.cells if c.base_model in INSTRUCT_OF))
    tables = {"base": bases, "instruct": _renamed(both, {new: old for old, new in INSTRUCT_OF.items()})}
    if (folder / FEW_SHOT).is_file():
        tables["few_shot"] = read_table(folder / FEW_SHOT)
    return tables


def _renamed(table: PublishedTable, names: Mapping[str, str]) -> PublishedTable:
    """The rows whose model is in `names`, under its other name."""
    cells = (
        PublishedCell(names[cell.base_model], cell.benchmark, cell.value, cell.note)
        for cell in table.cells
        if cell.base_model in names
    )
    return PublishedTable(table.name, tuple(cells))


def _cell(model: str, benchmark: str, text: str) -> PublishedCell:
    try:
        value = float(text)
    except ValueError:
        return PublishedCell(model, benchmark, None, text.strip())
    if 0.0 <= value <= 1.0:
        return PublishedCell(model, benchmark, value)
    raise InvalidFile(f"{model}, {benchmark}: a score lies between 0 and 1, not {text}")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            yield from csv.DictReader(lines)
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror or error}") from None
