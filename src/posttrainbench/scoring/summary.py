"""Sample scores -> Score: means, standard errors and parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from posttrainbench.record import Part, Score

WEIGHT, SHARES = "weight", "shares"  # what a scorer may tell beside a value


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample's value, 1 at best, and the part it belongs to ("" when there are no parts).

    A rubric with penalties may take it below 0. `weight` is how often it counts. `shares` are its values on
    further parts that a sample has of itself, as one axis of its rubric.
    """

    id: str
    value: float
    part: str = ""
    weight: float = 1.0
    shares: tuple[tuple[str, float], ...] = ()


def sample_score(sample_id: str, value: float, part: str, told: Mapping[str, object]) -> SampleScore:
    """A sample's score, with the weight and the shares that its scorer may have told beside the value.

    Raises:
        ValueError: what was told is no weight and no shares, as where a log had to leave them out.
    """
    weight, shares = told.get(WEIGHT, 1.0), told.get(SHARES, {})
    if not isinstance(weight, int | float) or not isinstance(shares, Mapping):
        raise ValueError(f"sample {sample_id!r} has no readable weight and shares")
    by_part = tuple((str(name), float(share)) for name, share in shares.items())
    return SampleScore(sample_id, value, part, float(weight), by_part)


def summarise(samples: Sequence[SampleScore]) -> Score:
    """The mean over all samples and over each part, with standard errors; means are clipped to [0, 1].

    Raises:
        ValueError: no samples; there is no score over nothing.
    """
    parts = (_part(name, members) for name, members in sorted(_members(samples).items()))
    whole = _part("", samples)
    return Score(whole.mean, whole.stderr, whole.n, tuple(parts))


def _members(samples: Iterable[SampleScore]) -> dict[str, list[SampleScore]]:
    """Part -> the samples that belong to it, each with its value on that part."""
    members: dict[str, list[SampleScore]] = {}
    for sample in samples:
        if sample.part:
            members.setdefault(sample.part, []).append(sample)
        for name, value in sample.shares:
            members.setdefault(name, []).append(SampleScore(sample.id, value, weight=sample.weight))
    return members


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no mean of no values")
    return sum(values) / len(values)


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of values that count `weights` times each.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no mean of no values")
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def standard_error(values: Sequence[float], weights: Sequence[float] | None = None) -> float | None:
    """The standard error of the mean, sample sd / sqrt(n); None when n < 2, where it is unknown and not zero.

    With weights, of the weighted mean: a ratio of two sums, linearised.

    Values in [0, 1] that are all equal have no spread, which would claim certainty: 0 of 200 right does not
    show that none ever is. As in Laplace's rule of succession, one sample at 0 and one at 1 are then added.

    Source: the central limit theorem, as in Miller, "Adding Error Bars to Evals", arXiv 2411.00640.
    """
    if len(values) < 2:
        return None
    if len(set(values)) == 1:
        values, weights = [*values, 0.0, 1.0], None
    if weights is None:
        weights = [1.0] * len(values)
    centre = weighted_mean(values, weights)
    weight = mean(weights)
    variance = sum((w / weight * (v - centre)) ** 2 for v, w in zip(values, weights, strict=True))
    return sqrt(variance / (len(values) - 1) / len(values))


def _part(name: str, samples: Iterable[SampleScore]) -> Part:
    members = list(samples)
    values, weights = [s.value for s in members], [s.weight for s in members]
    clipped = min(1.0, max(0.0, weighted_mean(values, weights)))
    return Part(name, clipped, standard_error(values, weights), len(members))
