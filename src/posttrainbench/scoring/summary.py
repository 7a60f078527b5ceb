"""Sample scores -> Score: means, standard errors and parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from posttrainbench.record import Part, Score


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample's value in [0, 1] and the part it belongs to ("" when there are no parts)."""

    id: str
    value: float
    part: str = ""


def summarise(samples: Sequence[SampleScore]) -> Score:
    """The mean over all samples and over each part, with standard errors.

    Raises:
        ValueError: no samples; there is no score over nothing.
    """
    values = [sample.value for sample in samples]
    names = sorted({sample.part for sample in samples} - {""})
    parts = (_part(name, [s.value for s in samples if s.part == name]) for name in names)
    return Score(mean(values), standard_error(values), len(values), tuple(parts))


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no mean of no values")
    return sum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean, sample sd / sqrt(n); None when n < 2, where it is unknown and not zero.

    Values in [0, 1] that are all equal have no spread, which would claim certainty: 0 of 200 right does not
    show that none ever is. As in Laplace's rule of succession, one sample at 0 and one at 1 are then added.

    Source: the central limit theorem, as in Miller, "Adding Error Bars to Evals", arXiv 2411.00640.
    """
    if len(values) < 2:
        return None
    sample = [*values, 0.0, 1.0] if len(set(values)) == 1 else values
    centre = mean(sample)
    variance = sum((value - centre) ** 2 for value in sample) / (len(sample) - 1)
    return sqrt(variance / len(sample))


def _part(name: str, values: Iterable[float]) -> Part:
    numbers = list(values)
    return Part(name, mean(numbers), standard_error(numbers), len(numbers))
