"""Means, standard errors and parts: no data is no number, and no spread is no certainty."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.scoring.summary import SampleScore, mean, standard_error, summarise

UNIT = st.floats(0, 1, allow_nan=False)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no mean"):
        mean([])
    with pytest.raises(ValueError, match="no mean"):
        summarise([])


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_sample_says_nothing_of_the_error(values: list[float]) -> None:
    assert standard_error(values) is None


def test_a_known_standard_error() -> None:
    values = [1.0] * 30 + [0.0] * 70
    assert standard_error(values) == pytest.approx(sqrt(0.3 * 0.7 / 99))


@given(st.lists(UNIT, min_size=2, max_size=50))
def test_there_is_always_some_uncertainty(values: list[float]) -> None:
    error = standard_error(values)
    assert error is not None
    if len(set(values)) == 1:
        assert 0 < error <= sqrt(2 / 3) / sqrt(len(values) + 2) + 1e-9


def test_none_right_of_two_hundred_is_no_certainty() -> None:
    assert standard_error([0.0] * 200) == pytest.approx(0.005, abs=0.0005)
    assert standard_error([1.0] * 200) == standard_error([0.0] * 200)


def test_parts_are_scored_apart() -> None:
    samples = [SampleScore("a", 1.0, "novel"), SampleScore("b", 0.0, "novel"), SampleScore("c", 1.0, "old")]
    score = summarise(samples)
    assert (score.mean, score.n) == (pytest.approx(2 / 3), 3)
    assert [(part.name, part.mean, part.n) for part in score.parts] == [("novel", 0.5, 2), ("old", 1.0, 1)]
    assert score.parts[1].stderr is None


def test_samples_without_a_part_make_no_part() -> None:
    assert summarise([SampleScore("a", 1.0)]).parts == ()


def test_a_sample_counts_as_often_as_its_weight() -> None:
    score = summarise([SampleScore("a", 1.0, weight=3), SampleScore("b", 0.0)])
    assert score.mean == 0.75
    assert score.n == 2


@given(st.lists(UNIT, min_size=2, max_size=20), st.floats(0.5, 4))
def test_equal_weights_change_no_error(values: list[float], weight: float) -> None:
    assert standard_error(values, [weight] * len(values)) == pytest.approx(standard_error(values))


def test_penalties_may_not_push_a_mean_below_zero() -> None:
    score = summarise([SampleScore("a", -2.0), SampleScore("b", 1.0)])
    assert score.mean == 0.0
    assert summarise([SampleScore("a", -0.5), SampleScore("b", 1.0)]).mean == 0.25  # only the mean is clipped


def test_a_sample_may_count_to_parts_of_its_own() -> None:
    score = summarise(
        [
            SampleScore("a", 1.0, "theme:tide", shares=(("axis:tone", 0.0),)),
            SampleScore("b", 0.0, "theme:tide", shares=(("axis:tone", 1.0), ("axis:care", 0.5))),
        ]
    )
    assert [(p.name, p.mean, p.n) for p in score.parts] == [
        ("axis:care", 0.5, 1),
        ("axis:tone", 0.5, 2),
        ("theme:tide", 0.5, 2),
    ]
