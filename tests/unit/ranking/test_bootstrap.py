"""Draws vary as much as the data say, alike for agents that answered the same items."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_runs import made_record, made_records, made_score, made_spec, made_suite

from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Leaderboard, PublishedEntry, RankRange
from posttrainbench.ranking.aggregate import rank
from posttrainbench.ranking.bootstrap import Answers, draw_entries, draw_published, with_rank_ranges
from posttrainbench.ranking.comparison import compare
from posttrainbench.ranking.policy import PAPER
from posttrainbench.record import AgentSpec, RunRecord
from posttrainbench.scoring.summary import standard_error
from posttrainbench.task import ModelRef, Suite

SUITE = made_suite()
ONE_CELL = replace(SUITE, base_models=(ModelRef("world/qwen"),), benchmarks=SUITE.benchmarks[:1])
ONE_CELL = replace(ONE_CELL, benchmarks=(replace(ONE_CELL.benchmarks[0], weight=1.0),))
N = 200

Score = Callable[[str, int], np.ndarray]  # (agent, seed) -> what each item scored


def world(
    suite: Suite, agents: Sequence[str], seeds: int, scores: Score, known: bool = True
) -> tuple[Leaderboard, Answers]:
    """Agents whose every cell has these answers; `known` says whether the single ones are at hand."""
    records: list[RunRecord] = []
    answers = {}
    for agent in agents:
        for seed in range(seeds):
            values = scores(agent, seed)
            outcome = made_score(float(values.mean()), standard_error(values.tolist()))
            for task in suite.tasks():
                records.append(made_record(made_spec(suite, task, agent, seed), outcome))
                key = (AgentSpec(agent, "scripted"), task.base_model.hub_id, task.benchmark, seed)
                answers[key] = {f"item-{n}": float(value) for n, value in enumerate(values)}
    return rank(suite, records, PAPER), answers if known else {}


def coins(probability: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(N) < probability).astype(float)


def test_the_same_seed_makes_the_same_draws_and_another_seed_others() -> None:
    board, answers = world(SUITE, ["a"], 1, lambda *_: coins(0.6, 1))
    first, again, other = (draw_entries(board, answers, 50, seed)[0].totals for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("known", [True, False])
def test_draws_over_items_spread_as_the_standard_error_says(known: bool) -> None:
    board, answers = world(ONE_CELL, ["a"], 1, lambda *_: coins(0.6, 1), known)
    (drawn,) = draw_entries(board, answers, 20_000, 0)
    (entry,) = board.entries
    assert entry.total is not None
    assert drawn.totals.mean() == pytest.approx(entry.total.mean, abs=0.002)
    assert drawn.totals.std() == pytest.approx(entry.total.sampling_stderr, rel=0.03)
    assert drawn.items == (N if known else 0)


def test_draws_over_runs_spread_as_the_error_of_their_mean() -> None:
    means = (0.4, 0.5, 0.7)
    records = [
        record
        for seed, mean in enumerate(means)
        for record in made_records(ONE_CELL, "a", made_score(mean, None), seed=seed)
    ]
    (drawn,) = draw_entries(rank(ONE_CELL, records, PAPER), {}, 20_000, 0)
    assert drawn.totals.std() == pytest.approx(np.std(means, ddof=1) / math.sqrt(3), rel=0.03)
    assert drawn.left_out == ("items of cells without a standard error",)


def test_what_hits_both_agents_cancels_between_them() -> None:
    shared = coins(0.5, 3)

    def scores(agent: str, _: int) -> np.ndarray:
        values = shared.copy()
        if agent == "a":
            values[np.flatnonzero(values == 0)[:6]] = 1.0  # right on six more, wrong on none that b has right
        return values

    board, answers = world(ONE_CELL, ["a", "b"], 1, scores)
    paired = compare(*draw_entries(board, answers, 5_000, 0))
    unpaired = compare(*draw_entries(board, {}, 5_000, 0))
    assert paired.difference == pytest.approx(0.03, abs=0.002)
    assert paired.first_beats_second > 0.98
    assert 0.6 < unpaired.first_beats_second < 0.9
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 2
    assert (paired.items, unpaired.items) == (N, 0)


def test_equal_agents_beat_each_other_half_the_time() -> None:
    board, answers = world(SUITE, ["a", "b"], 1, lambda *_: coins(0.5, 4))
    comparison = compare(*draw_entries(board, answers, 500, 0))
    assert comparison.first_beats_second == 0.5
    assert (comparison.low, comparison.high) == (0.0, 0.0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Two agents of known true difference, run again and again: 95 % of the intervals hold it."""
    truth, hits = 0.05, 0
    for world_seed in range(120):
        rng = np.random.default_rng(world_seed)
        hardness = rng.random(N) * 0.6 + 0.2
        values = {
            agent: (rng.random(N) < hardness + shift).astype(float)
            for agent, shift in (("a", truth), ("b", 0.0))
        }
        board, answers = world(ONE_CELL, ["a", "b"], 1, lambda agent, _, v=values: v[agent])  # type: ignore[misc]
        drawn = {one.label: one for one in draw_entries(board, answers, 400, 0)}
        comparison = compare(drawn["a"], drawn["b"])
        hits += comparison.low <= truth <= comparison.high
    assert 106 <= hits <= 119  # 114 expected, two standard deviations and a half around it


def test_one_run_says_that_runs_are_left_out() -> None:
    board, answers = world(SUITE, ["a"], 1, lambda *_: coins(0.6, 1))
    (drawn,) = draw_entries(board, answers, 10, 0)
    assert drawn.left_out == ("runs: there is one per cell",)


def test_disqualified_runs_and_entries_without_a_total_do_not_vary() -> None:
    records = [
        *made_records(SUITE, "cheat", made_score(0.9), VerdictLabel.DISQUALIFIED),
        *made_records(SUITE, "half", made_score(0.5))[:2],
    ]
    (drawn,) = draw_entries(rank(SUITE, records, PAPER), {}, 10, 0)
    assert drawn.label == "cheat"
    assert drawn.totals.std() == pytest.approx(0.0, abs=1e-12)


def test_runs_on_other_items_are_not_drawn_with_the_rest() -> None:
    board, answers = world(ONE_CELL, ["a", "b"], 1, lambda *_: coins(0.6, 1))
    stranger = next(key for key in answers if key[0].name == "b")
    moved = {**answers, stranger: {f"other-{n}": v for n, v in enumerate(answers[stranger].values())}}
    assert sorted(one.items for one in draw_entries(board, moved, 10, 0)) == [0, N]


def test_answers_that_are_all_alike_keep_the_doubt_of_their_standard_error() -> None:
    board, answers = world(ONE_CELL, ["a"], 1, lambda *_: np.zeros(N))
    (drawn,) = draw_entries(board, answers, 2_000, 0)
    assert drawn.totals.std() > 0.0


def test_ranks_are_a_range_where_agents_are_close_and_a_number_where_they_are_not() -> None:
    rates = {"best": 0.9, "close": 0.5, "closer": 0.51}
    board, answers = world(ONE_CELL, list(rates), 1, lambda agent, _: coins(rates[agent], len(agent)))
    ranged = with_rank_ranges(board, draw_entries(board, answers, 2_000, 0))
    ranks = {entry.label: entry.ranks for entry in ranged.entries}
    assert ranks == {"best": RankRange(1, 1), "close": RankRange(2, 3), "closer": RankRange(2, 3)}


def test_an_agent_alone_has_no_range_of_ranks() -> None:
    board, answers = world(ONE_CELL, ["a"], 1, lambda *_: coins(0.6, 1))
    assert with_rank_ranges(board, draw_entries(board, answers, 10, 0)) == board


def test_a_published_score_is_drawn_with_the_error_of_its_mean() -> None:
    drawn = draw_published(PublishedEntry("theirs", "", 0.5, 4, 0.1), 20_000, 0)
    assert drawn.totals.std() == pytest.approx(0.05, rel=0.03)
    once = draw_published(PublishedEntry("theirs", "", 0.5, 1), 10, 0)
    assert set(once.totals) == {0.5}
    assert any("there is one" in what for what in once.left_out)
