"""How sure a mean is. No data is None, never 0.0: zero would claim perfect certainty.

Source: Miller, "Adding Error Bars to Evals", arXiv 2411.00640 (standard errors of weighted and shared-item
means); the sample standard deviation over runs is what Rank et al., arXiv 2603.08640, print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import stdev

from posttrainbench.leaderboard import Estimate


def sample_sd(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1), or None for fewer than two values."""
    return stdev(values) if len(values) >= 2 else None


def weighted_stderr(errors: Mapping[str, Sequence[tuple[float, float | None]]]) -> float | None:
    """The standard error of a weighted mean of cells, from those of the cells.

    Cells of one benchmark were measured on the same items, so their errors are taken as fully correlated and
    add up; benchmarks are independent, and add in squares. This bounds the error from above: how far the
    cells of a benchmark are really correlated is not known from means alone.

    Args:
        errors: benchmark -> (weight, standard error) of each cell that was measured. Cells that stand for a
            fixed reference score carry no error of this run and are not listed.

    Returns:
        None when no cell is listed, or when one of them has no standard error.
    """
    pairs = [pair for cells in errors.values() for pair in cells]
    if not pairs or any(stderr is None for _, stderr in pairs):
        return None
    per_benchmark = [math.fsum(w * (e or 0.0) for w, e in cells) for cells in errors.values()]
    return math.sqrt(math.fsum(error**2 for error in per_benchmark))


def estimate_over_seeds(values: Sequence[float], stderrs: Sequence[float | None]) -> Estimate:
    """The mean of one value per seed (at least one), with its uncertainties.

    Every seed answers the same items, so the sampling error does not shrink with more seeds: it is the root
    mean square of theirs. The total adds the error of the mean over seeds, sd / sqrt(n). Noise of the sampled
    answers is in both terms, so the total is a little too wide rather than too narrow.

    Args:
        values: one mean per seed.
        stderrs: the sampling standard error of each, None where unknown.
    """
    n = len(values)
    sd = sample_sd(values)
    sampling = _root_mean_square(stderrs)
    total = None if sd is None or sampling is None else math.sqrt(sd**2 / n + sampling**2)
    return Estimate(math.fsum(values) / n, n, sd, sampling, total)


def _root_mean_square(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return math.sqrt(math.fsum(value**2 for value in known) / len(known))


def wilson(count: int, of: int, z: float = 1.959964) -> tuple[float, float] | None:
    """The Wilson score interval of a share, 95% unless `z` says otherwise; None of no cases.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if of == 0:
        return None
    share = count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)
