"""From records to a leaderboard."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import (
    BASE_SCORES,
    BENCHMARKS,
    CRASH,
    MODELS,
    made_record,
    made_records,
    made_score,
    made_spec,
    made_suite,
)

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Counted, Entry, Mark
from posttrainbench.ranking.aggregate import SeveralSuites, only_suite, rank
from posttrainbench.ranking.policy import EXCLUDE, PAPER
from posttrainbench.record import AgentSpec, RunRecord, Score

SUITE = made_suite()
WEIGHTS = dict(BENCHMARKS)
BASE_TOTAL = sum(WEIGHTS[benchmark] * mean / len(MODELS) for (_, benchmark), mean in BASE_SCORES.items())


def only_entry(records: list[RunRecord], policy=PAPER) -> Entry:
    (entry,) = rank(SUITE, records, policy).entries
    return entry


def in_cell(records: list[RunRecord], task_name: str, change) -> list[RunRecord]:
    return [change(record) if record.spec.task.name == task_name else record for record in records]


@given(st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_a_total_is_the_mean_over_base_models_of_the_weighted_scores(means: list[float]) -> None:
    specs = [made_spec(SUITE, task) for task in SUITE.tasks()]
    records = [made_record(spec, made_score(mean)) for spec, mean in zip(specs, means, strict=True)]
    expected = sum(
        WEIGHTS[spec.task.benchmark] * mean / len(MODELS) for spec, mean in zip(specs, means, strict=True)
    )
    total = only_entry(records).total
    assert total is not None
    assert total.mean == pytest.approx(expected, abs=1e-12)


def test_the_weights_of_an_entrys_cells_sum_to_one() -> None:
    entry = only_entry(made_records(SUITE, "honest", made_score(0.5)))
    assert sum(cell.weight for cell in entry.cells) == pytest.approx(1.0, abs=1e-12)


def test_seeds_are_averaged_and_one_seed_has_no_deviation() -> None:
    first = made_records(SUITE, "honest", made_score(0.4), seed=0)
    second = made_records(SUITE, "honest", made_score(0.6), seed=1)
    alone, both = only_entry(first).total, only_entry(first + second).total
    assert alone is not None
    assert alone.sd_over_seeds is None
    assert both is not None
    assert both.mean == pytest.approx(0.5)
    assert both.sd_over_seeds == pytest.approx(0.02**0.5)
    assert both.seeds == 2


def test_a_disqualified_entry_comes_to_the_base_score_and_keeps_what_it_submitted() -> None:
    entry = only_entry(made_records(SUITE, "cheat", made_score(0.95), VerdictLabel.DISQUALIFIED))
    assert entry.total is not None
    assert entry.total.mean == pytest.approx(BASE_TOTAL)
    assert entry.total.sampling_stderr is None, "a fixed reference says nothing of this agent's error"
    assert entry.submitted == pytest.approx(0.95)
    assert entry.marks == (Mark.DISQUALIFIED,)
    assert {run.counted for cell in entry.cells for run in cell.runs} == {Counted.BASE}


def test_reference_scores_alone_have_no_spread_over_seeds() -> None:
    seeds = [made_records(SUITE, "broken", CRASH, seed=seed) for seed in (0, 1)]
    total = only_entry([*seeds[0], *seeds[1]]).total
    assert total is not None
    assert total.sd_over_seeds is None, "0.0 would claim that the agent is perfectly steady"


def test_a_failed_cell_has_no_number_of_its_own() -> None:
    records = made_records(SUITE, "honest", made_score(0.5))
    records = in_cell(records, "qwen/maths", lambda r: replace(r, outcome=CRASH))
    entry = only_entry(records)
    run = next(cell for cell in entry.cells if cell.name == "qwen/maths").runs[0]
    assert run.outcome == CRASH
    assert run.marks == (Mark.FAILED,)
    assert run.value == BASE_SCORES["world/qwen", "maths"]
    assert entry.submitted is None


def test_a_failure_without_a_known_base_score_makes_the_entry_incomplete() -> None:
    bare = made_suite(base=False)
    (entry,) = rank(bare, made_records(bare, "broken", CRASH), PAPER).entries
    assert (entry.total, entry.partial, entry.rank) == (None, None, None)
    assert len(entry.missing) == 4
    assert "no base score known" in entry.missing[0]


def test_exclude_marks_an_entry_incomplete_and_shows_the_rest_as_partial() -> None:
    records = made_records(SUITE, "honest", made_score(0.5))
    records = in_cell(records, "llama/tools", lambda r: replace(r, outcome=CRASH))
    entry = only_entry(records, EXCLUDE)
    assert entry.total is None
    assert entry.partial == pytest.approx(0.5)
    assert entry.missing == ("llama/tools seed 0: failed: agent crashed; left out",)


def test_a_cell_without_a_run_is_missing_whatever_the_policy() -> None:
    records = made_records(SUITE, "honest", made_score(0.5))[:-1]
    entry = only_entry(records)
    assert entry.total is None
    assert entry.missing == ("llama/tools seed 0: no run",)
    assert Mark.MISSING in entry.marks


def test_a_seed_that_lacks_a_cell_makes_the_entry_incomplete() -> None:
    """Else a seed that went badly could be taken out of the mean by losing one of its runs."""
    first = made_records(SUITE, "honest", made_score(0.9), seed=0)
    second = made_records(SUITE, "honest", made_score(0.1), seed=1)[1:]
    assert only_entry(first + second).total is None


def test_incomplete_entries_rank_below_complete_ones() -> None:
    best = made_records(SUITE, "best", made_score(1.0))[:-1]
    worst = made_records(SUITE, "worst", made_score(0.0))
    board = rank(SUITE, best + worst, PAPER)
    assert [(entry.label, entry.rank) for entry in board.entries] == [("worst", 1), ("best", None)]


def test_an_unfinished_run_is_missing_and_an_agent_with_none_but_those_is_shown() -> None:
    specs = [made_spec(SUITE, task, "slow") for task in SUITE.tasks()]
    board = rank(SUITE, made_records(SUITE, "done", made_score(0.5)), PAPER, unfinished=specs)
    slow = board.entries[-1]
    assert slow.label == "slow"
    assert slow.missing[0].endswith("not finished")
    assert slow.cells[0].runs[0].run_id == specs[0].run_id


def test_a_finished_run_is_not_missing_though_it_is_also_listed_as_unfinished() -> None:
    records = made_records(SUITE, "done", made_score(0.5))
    board = rank(SUITE, records, PAPER, unfinished=[record.spec for record in records])
    assert board.entries[0].complete


def test_equal_totals_share_a_rank_and_are_ordered_by_name() -> None:
    records = [
        record
        for agent, mean in (("c", 0.2), ("b", 0.5), ("a", 0.5))
        for record in made_records(SUITE, agent, made_score(mean))
    ]
    board = rank(SUITE, records, PAPER)
    assert [(entry.label, entry.rank) for entry in board.entries] == [("a", 1), ("b", 1), ("c", 3)]


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(shuffler: random.Random) -> None:
    records = [
        record
        for agent, mean in (("a", 0.31), ("b", 0.72), ("c", 0.11))
        for seed in (0, 1, 2)
        for record in made_records(SUITE, agent, made_score(mean + seed / 10), seed=seed)
    ]
    shuffled = list(records)
    shuffler.shuffle(shuffled)
    assert rank(SUITE, shuffled, PAPER) == rank(SUITE, records, PAPER)


def test_the_newest_record_of_a_run_counts_and_the_others_are_counted_as_superseded() -> None:
    old = made_records(SUITE, "honest", made_score(0.9))
    new = [replace(r, outcome=made_score(0.3), published_utc="2026-01-02T00:00:00Z") for r in old]
    board = rank(SUITE, new + old, PAPER)
    assert board.entries[0].total is not None
    assert board.entries[0].total.mean == pytest.approx(0.3)
    assert board.superseded == 4


def test_suites_are_never_mixed() -> None:
    other = replace(SUITE, version="2.0")
    mixed = made_records(SUITE, "a", made_score(0.5)) + made_records(other, "a", made_score(0.5))
    with pytest.raises(SeveralSuites, match="--suite") as caught:
        only_suite(mixed)
    assert SUITE.digest[:12] in str(caught.value)
    assert other.digest[:12] in str(caught.value)
    with pytest.raises(SetupError):
        rank(SUITE, mixed, PAPER)
    assert only_suite(mixed[:2]) == ("made", SUITE.digest)


def test_no_records_is_an_error_with_the_fix() -> None:
    with pytest.raises(SetupError, match="ptb demo"):
        only_suite([])


def test_a_run_on_other_data_than_the_suite_means_is_refused() -> None:
    records = made_records(SUITE, "a", made_score(0.5))
    records[0] = replace(records[0], spec=replace(records[0].spec, data_digest="something else"))
    with pytest.raises(InvalidFile, match="other maths data"):
        rank(SUITE, records, PAPER)


def test_agents_of_one_name_with_other_settings_are_two_entries() -> None:
    records = made_records(SUITE, "a", made_score(0.5))
    hot = AgentSpec("a", "scripted", "some-model", (("temperature", "1"),))
    records += [replace(r, spec=replace(r.spec, agent=hot)) for r in records]
    labels = [entry.label for entry in rank(SUITE, records, PAPER).entries]
    assert labels == ["a (scripted, no model)", "a (scripted, some-model, temperature=1)"]


def test_parts_are_aggregated_where_every_cell_knows_them() -> None:
    known = made_records(SUITE, "honest", made_score(0.5, novel=0.4))
    estimate = only_entry(known).part("novel")
    assert estimate is not None
    assert estimate.mean == pytest.approx(0.4)
    lacking = in_cell(known, "qwen/maths", lambda r: replace(r, outcome=made_score(0.5)))
    assert only_entry(lacking).part("novel") is None
    replaced = in_cell(known, "qwen/maths", lambda r: replace(r, outcome=CRASH))
    assert only_entry(replaced).part("novel") is None


def test_a_run_without_isolation_is_marked() -> None:
    records = [made_record(made_spec(SUITE, task), made_score(0.5), isolated=False) for task in SUITE.tasks()]
    assert only_entry(records).marks == (Mark.NOT_ISOLATED,)


def test_reference_totals_need_every_cell() -> None:
    records = made_records(SUITE, "a", made_score(0.5))
    (base,) = rank(SUITE, records, PAPER).references
    assert base.kind == "base"
    assert base.total == pytest.approx(BASE_TOTAL)
    short = replace(SUITE, references=SUITE.references[:-1])
    assert rank(short, made_records(short, "a", made_score(0.5)), PAPER).references == ()


def test_a_score_over_one_sample_has_no_error_and_neither_has_the_total() -> None:
    total = only_entry(made_records(SUITE, "a", Score(0.5, None, 1))).total
    assert total is not None
    assert total.sampling_stderr is None
