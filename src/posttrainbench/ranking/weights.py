"""A suite's weights from what base and instruct models score: 1 / (mean instruct - mean base), normalised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def headroom_weights(
    base: Mapping[str, Sequence[float]], instruct: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Benchmark -> weight; they sum to 1. A benchmark on which little is to be gained weighs more.

    Args:
        base: benchmark -> zero-shot scores of the base models, at least one.
        instruct: benchmark -> scores of their instruct siblings; the same benchmarks.

    Raises:
        ValueError: an instruct mean does not lie above the base mean; the text names the benchmark.

    Source: Rank et al., arXiv 2603.08640; reproduces the published factors.
    """
    inverse = {name: 1.0 / _headroom(name, base[name], instruct[name]) for name in base}
    whole = math.fsum(inverse.values())
    return {name: share / whole for name, share in inverse.items()}


def _headroom(name: str, base: Sequence[float], instruct: Sequence[float]) -> float:
    gap = math.fsum(instruct) / len(instruct) - math.fsum(base) / len(base)
    if gap <= 0.0:
        raise ValueError(f"{name}: the instruct models do not score above the base models")
    return gap
