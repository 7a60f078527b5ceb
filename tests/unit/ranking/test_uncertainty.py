"""No data is None, never 0.0; more doubt never makes an error smaller."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.ranking.uncertainty import estimate_over_seeds, sample_sd, weighted_stderr

FRACTION = st.floats(0.0, 1.0)


def test_one_value_has_no_deviation() -> None:
    assert sample_sd([0.4]) is None
    assert sample_sd([]) is None


@given(st.lists(FRACTION, min_size=2, max_size=8))
def test_the_deviation_is_the_sample_one(values: list[float]) -> None:
    mean = math.fsum(values) / len(values)
    expected = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    assert sample_sd(values) == pytest.approx(expected, abs=1e-12)


def test_no_cell_has_no_error_and_one_unknown_makes_it_unknown() -> None:
    assert weighted_stderr({}) is None
    assert weighted_stderr({"maths": [(0.5, 0.1), (0.5, None)]}) is None


def test_benchmarks_add_in_squares_and_cells_of_one_benchmark_in_full() -> None:
    apart = weighted_stderr({"maths": [(0.5, 0.1)], "tools": [(0.5, 0.1)]})
    shared = weighted_stderr({"maths": [(0.5, 0.1), (0.5, 0.1)]})
    assert apart == pytest.approx(0.1 / math.sqrt(2))
    assert shared == pytest.approx(0.1)


def test_one_seed_knows_its_sampling_error_and_nothing_of_other_seeds() -> None:
    estimate = estimate_over_seeds([0.4], [0.02])
    assert (estimate.mean, estimate.seeds, estimate.sampling_stderr) == (0.4, 1, 0.02)
    assert estimate.sd_over_seeds is None
    assert estimate.total_stderr is None


@given(st.lists(st.tuples(FRACTION, st.floats(0.0, 0.2)), min_size=2, max_size=6))
def test_the_total_error_is_at_least_either_part(seeds: list[tuple[float, float]]) -> None:
    values, errors = [v for v, _ in seeds], [e for _, e in seeds]
    estimate = estimate_over_seeds(values, errors)
    assert estimate.sd_over_seeds is not None
    assert estimate.sampling_stderr is not None
    assert estimate.total_stderr is not None
    assert estimate.total_stderr >= estimate.sampling_stderr - 1e-12
    assert estimate.total_stderr >= estimate.sd_over_seeds / math.sqrt(len(seeds)) - 1e-12
    assert min(errors) - 1e-12 <= estimate.sampling_stderr <= max(errors) + 1e-12


def test_a_seed_without_an_error_makes_the_sampling_error_unknown() -> None:
    assert estimate_over_seeds([0.4, 0.5], [0.02, None]).sampling_stderr is None
