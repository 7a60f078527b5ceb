"""Totals drawn again and again, over runs and over items: what else the same agents might have scored.

A draw takes the test items anew (the same for every agent and base model, since all answered the same ones)
and, in each cell with several runs, the runs anew. So two agents' totals of one draw can be compared: what
an easy or hard set of items does to both of them cancels.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993; Miller, arXiv 2411.00640, for pairing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posttrainbench.leaderboard import Cell, CellRun, Counted, Entry, Leaderboard, PublishedEntry, RankRange
from posttrainbench.record import AgentSpec

Totals = NDArray[np.float64]  # one total per draw
RunKey = tuple[AgentSpec, str, str, int]  # agent, base model, benchmark, seed
Answers = Mapping[RunKey, Mapping[str, float]]  # of a run: item id -> what its answer scored
RANGE = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An entry's totals, draw by draw, and what they leave out."""

    label: str
    totals: Totals
    items: int  # test items that were drawn, over all benchmarks
    left_out: tuple[str, ...]  # sources of doubt that are not in the draws, in words


def draw_entries(board: Leaderboard, answers: Answers, draws: int, seed: int) -> tuple[Drawn, ...]:
    """The totals of every entry that has one, in the leaderboard's order; the same seed, the same draws.

    Args:
        answers: what single answers scored. A run without them is drawn from a normal distribution with its
            standard error, which cannot be paired; one without a standard error does not vary over items.
    """
    entries = [entry for entry in board.entries if entry.total is not None]
    streams = np.random.SeedSequence(seed).spawn(1 + len(entries))
    items = _draw_items(board.benchmarks, entries, answers, draws, np.random.default_rng(streams[0]))
    return tuple(
        _draw_entry(entry, answers, items, draws, np.random.default_rng(stream))
        for entry, stream in zip(entries, streams[1:], strict=True)
    )


def draw_published(entry: PublishedEntry, draws: int, seed: int) -> Drawn:
    """A published total, drawn from a normal distribution with the error of its mean over runs."""
    left_out = ("its items: only its total is published",)
    if entry.sd is None or entry.runs < 2:
        return Drawn(entry.label, np.full(draws, entry.mean), 0, (*left_out, "its runs: there is one"))
    error = entry.sd / math.sqrt(entry.runs)
    return Drawn(entry.label, np.random.default_rng(seed).normal(entry.mean, error, draws), 0, left_out)


def with_rank_ranges(board: Leaderboard, drawn: Sequence[Drawn]) -> Leaderboard:
    """The leaderboard, each ranked entry with the ranks that hold 95 % of the draws; alone, it has none."""
    if len(drawn) < 2:
        return board
    totals = np.stack([one.totals for one in drawn])
    ranks = 1 + (totals[None, :, :] > totals[:, None, :]).sum(axis=1)
    low, high = np.quantile(ranks, RANGE, axis=1, method="inverted_cdf")
    ranges = {
        one.label: RankRange(int(best), int(worst)) for one, best, worst in zip(drawn, low, high, strict=True)
    }
    return replace(
        board, entries=tuple(replace(entry, ranks=ranges.get(entry.label)) for entry in board.entries)
    )


# --- items --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of one benchmark, and how often each is in each draw."""

    ids: tuple[str, ...]
    shares: NDArray[np.float64]  # draws x items; the rows sum to 1

    def deviation(self, answers: Mapping[str, float]) -> Totals:
        """How far a run's mean in each draw lies from its mean over all items."""
        scores = np.array([answers[item] for item in self.ids])
        # A bootstrap's variance is too small by (n - 1) / n, which shows where a set has thirty items.
        n = len(self.ids)
        deviation: Totals = (self.shares @ scores - scores.mean()) * math.sqrt(n / (n - 1))
        return deviation


def _draw_items(
    benchmarks: Iterable[str],
    entries: Sequence[Entry],
    answers: Answers,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, _Items]:
    """Benchmark -> its items, for those of which some run's single answers are known."""
    found = {}
    for benchmark in benchmarks:
        ids = _shared_ids(benchmark, entries, answers)
        if len(ids) >= 2:
            counts = rng.multinomial(len(ids), np.full(len(ids), 1.0 / len(ids)), size=draws)
            found[benchmark] = _Items(ids, counts / len(ids))
    return found


def _shared_ids(benchmark: str, entries: Sequence[Entry], answers: Answers) -> tuple[str, ...]:
    """The items that the most runs answered; a run on other items is not drawn with them."""
    sets: dict[tuple[str, ...], int] = {}
    for entry in entries:
        for cell in entry.cells:
            for run in cell.runs:
                if cell.benchmark == benchmark and (known := answers.get(_key(entry, cell, run))):
                    ids = tuple(sorted(known))
                    sets[ids] = sets.get(ids, 0) + 1
    return max(sets, key=lambda ids: (sets[ids], ids), default=())


# --- entries ------------------------------------------------------------------------------------------------


def _draw_entry(
    entry: Entry, answers: Answers, items: Mapping[str, _Items], draws: int, rng: np.random.Generator
) -> Drawn:
    drawn = np.zeros(draws)
    # Without single answers, cells of one benchmark share their items all the same: one number for them all.
    normals = {column.benchmark: rng.standard_normal(draws) for column in entry.columns}
    paired, silent, single = set(), False, False
    for cell in entry.cells:
        values = np.array([run.value for run in cell.runs if run.value is not None])
        drawn += cell.weight * (values.mean() + _runs_deviation(values, draws, rng))
        single = single or len(values) < 2
        for run in cell.runs:
            if run.counted is not Counted.OWN:
                continue  # a reference score: that it does not vary says nothing of the agent
            known, set_ = answers.get(_key(entry, cell, run), {}), items.get(cell.benchmark)
            share = cell.weight / len(cell.runs)
            if set_ is not None and tuple(sorted(known)) == set_.ids and len(set(known.values())) > 1:
                drawn += share * set_.deviation(known)
                paired.add(cell.benchmark)
            elif run.stderr is not None:
                drawn += share * run.stderr * normals[cell.benchmark]
            else:
                silent = True
    left_out = ("items of cells without a standard error",) * silent + (
        "runs: there is one per cell",
    ) * single
    return Drawn(entry.label, drawn, sum(len(items[name].ids) for name in paired), left_out)


def _runs_deviation(values: Totals, draws: int, rng: np.random.Generator) -> Totals:
    """How far the mean of as many runs, drawn anew, lies from theirs; 0 for one: nothing is known."""
    n = len(values)
    if n < 2:
        return np.zeros(draws)
    means = values[rng.integers(0, n, size=(draws, n))].mean(axis=1)
    deviation: Totals = (means - values.mean()) * math.sqrt(n / (n - 1))
    return deviation


def _key(entry: Entry, cell: Cell, run: CellRun) -> RunKey:
    return (entry.agent, cell.base_model, cell.benchmark, run.seed)
