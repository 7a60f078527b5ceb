"""Weights from headroom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.ranking.weights import headroom_weights

GAPS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.tuples(st.floats(0.0, 0.4), st.floats(0.5, 1.0)),
    min_size=1,
    max_size=7,
)


@given(GAPS)
def test_weights_sum_to_one_and_less_headroom_weighs_more(gaps: dict[str, tuple[float, float]]) -> None:
    base = {name: [low] for name, (low, _) in gaps.items()}
    instruct = {name: [high] for name, (_, high) in gaps.items()}
    weights = headroom_weights(base, instruct)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    by_headroom = sorted(gaps, key=lambda name: gaps[name][1] - gaps[name][0])
    assert [weights[name] for name in by_headroom] == sorted(weights.values(), reverse=True)


def test_a_benchmark_without_headroom_has_no_weight() -> None:
    with pytest.raises(ValueError, match="maths"):
        headroom_weights({"maths": [0.5]}, {"maths": [0.5]})
