"""Our aggregation reproduces the benchmark's published figures.

The tables are not in this repository. They are looked for in the folder that PTB_BENCHMARK_DATA names, else
in `../shared/benchmarks` beside the project.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from made_runs import made_record, made_spec

from posttrainbench.budget import Budget, Limits
from posttrainbench.leaderboard import Estimate
from posttrainbench.ranking.aggregate import rank
from posttrainbench.ranking.policy import PAPER
from posttrainbench.ranking.weights import headroom_weights
from posttrainbench.record import Score
from posttrainbench.task import ModelRef, Policy, Rules, Suite, SuiteBenchmark

PROJECT = Path(__file__).resolve().parents[3]
TABLES = Path(os.environ.get("PTB_BENCHMARK_DATA", PROJECT.parent / "shared" / "benchmarks")) / "leaderboard"
V11 = TABLES / "v1.1_2026-03-22"
pytestmark = pytest.mark.skipif(not V11.is_dir(), reason=f"the published tables are not at {TABLES}")

Grid = dict[str, dict[str, float]]  # base model -> benchmark -> score


def read_grid(path: Path) -> Grid:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {row["model"]: {k: float(v) for k, v in row.items() if k != "model"} for row in rows}


def read_weights(path: Path) -> dict[str, float]:
    weights: dict[str, float] = json.loads(path.read_text())
    return weights


def published_totals(path: Path) -> dict[str, tuple[float, float, int]]:
    with path.open(newline="") as lines:
        return {r["agent"]: (float(r["avg"]), float(r["std"]), int(r["n"])) for r in csv.DictReader(lines)}


def total_of(grids: list[Grid], weights: dict[str, float]) -> Estimate:
    """Our total of one agent whose runs scored `grids`."""
    suite = Suite(
        name="published",
        version="1",
        title="",
        base_models=tuple(ModelRef(model) for model in grids[0]),
        benchmarks=tuple(SuiteBenchmark(name, weight, "") for name, weight in weights.items()),
        budget=Budget(36000.0),
        rules=Rules(Policy.PAPER),
        limits=Limits(),
    )
    records = [
        made_record(
            made_spec(suite, task, seed=seed), Score(grid[task.base_model.hub_id][task.benchmark], None, 100)
        )
        for seed, grid in enumerate(grids)
        for task in suite.tasks()
    ]
    (entry,) = rank(suite, records, PAPER).entries
    assert entry.total is not None
    return entry.total


def locus_runs() -> list[Grid]:
    return [read_grid(TABLES / "locus_v1.1" / f"locus_run_{number}.csv") for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("version", "factors"),
    [("locus_v1.1", V11 / "factors.json"), ("v1.2", TABLES / "v1.2/factors-v1.2.json")],
)
def test_the_mean_and_deviation_of_three_published_runs(version: str, factors: Path) -> None:
    mean, sd, n = published_totals(TABLES / version / "single_metrics_aggregated.csv")["Locus"]
    total = total_of(locus_runs(), read_weights(factors))
    assert total.mean == pytest.approx(mean, abs=1e-12)
    assert total.sd_over_seeds == pytest.approx(sd, abs=1e-12)
    assert total.seeds == n


def test_the_totals_of_every_agent_whose_cells_are_published() -> None:
    published = published_totals(V11 / "single_metrics_aggregated.csv")
    weights = read_weights(V11 / "factors.json")
    names = [path.stem.removeprefix("aggregated_avg_") for path in sorted(V11.glob("aggregated_avg_*.csv"))]
    checked = [name for name in names if name in published]
    assert len(checked) == 11
    for name in checked:
        grid = read_grid(V11 / f"aggregated_avg_{name}.csv")
        assert total_of([grid], weights).mean == pytest.approx(published[name][0], abs=1e-9), name


def test_the_weights_follow_from_the_published_baselines() -> None:
    published = read_weights(V11 / "factors.json")
    grid = read_grid(V11 / "aggregated_baseline.csv")
    is_base = {model: model.endswith(("-Base", "-pt")) for model in grid}
    base = {name: [grid[m][name] for m in grid if is_base[m]] for name in published}
    instruct = {name: [grid[m][name] for m in grid if not is_base[m]] for name in published}
    weights = headroom_weights(base, instruct)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert weights == pytest.approx(published, abs=1e-12)
