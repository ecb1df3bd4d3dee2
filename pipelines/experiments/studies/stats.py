"""Means, spreads and paired tests over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

# Differences of metrics, which lie in [0, 1], are equal up to this.
_ROUNDING = 1e-12

# seed -> value
BySeed = Mapping[int, float]
_Name = TypeVar("_Name")


@dataclasses.dataclass(frozen=True)
class Summary:
    """Values over seeds.

    Attributes:
      mean: their mean.
      deviation: their standard deviation (n - 1); None for one value.
      count: how many there are.
    """

    mean: float
    deviation: float | None
    count: int


@dataclasses.dataclass(frozen=True)
class Gain:
    """A method against the baseline, seed by seed.

    Attributes:
      relative: ratio of the means - 1; None if the baseline's mean is 0.
      difference: mean difference.
      p_value: two-sided, of the paired t-test; None where it is not defined: fewer than two
        seeds in common, or equal differences.
    """

    relative: float | None
    difference: float
    p_value: float | None


def summarize(values: BySeed) -> Summary | None:
    """Mean and deviation; None without values."""
    if not values:
        return None
    array = np.array(list(values.values()))
    deviation = float(array.std(ddof=1)) if len(array) > 1 else None
    return Summary(float(array.mean()), deviation, len(array))


def means(columns: Mapping[_Name, BySeed]) -> dict[_Name, float]:
    """Mean of each column that has values."""
    found = {name: summarize(values) for name, values in columns.items()}
    return {name: summary.mean for name, summary in found.items() if summary is not None}


def gain(values: BySeed, baseline: BySeed) -> Gain | None:
    """The gain over the seeds that both have; None if there are none."""
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    ours = np.array([values[seed] for seed in seeds])
    theirs = np.array([baseline[seed] for seed in seeds])
    relative = float(ours.mean() / theirs.mean() - 1) if theirs.mean() > 0 else None
    differences = ours - theirs
    return Gain(relative, float(differences.mean()), paired_p_value(differences.tolist()))


def paired_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of the t-test that paired differences have mean 0.

    None where it is not defined: fewer than two differences, or all of them equal.
    """
    if len(differences) < 2 or np.ptp(differences) <= _ROUNDING:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction of several tests' p-values (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, made monotone and cut off at 1.
    """
    result = {}
    largest = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for number, (name, p_value) in enumerate(ordered):
        largest = max(largest, min(1.0, p_value * (len(ordered) - number)))
        result[name] = largest
    return result


def relative_gains(values: BySeed, baseline: BySeed) -> dict[int, float]:
    """Each seed's gain over the baseline, as a share of the baseline's mean over all seeds.

    Their mean is the ratio of the means - 1. A share of the same seed's baseline would blow up
    where that is near 0, as on a tail. Empty if the baseline's mean is 0.
    """
    seeds = sorted(values.keys() & baseline.keys())
    mean = sum(baseline[seed] for seed in seeds) / len(seeds) if seeds else 0.0
    if mean <= 0:
        return {}
    return {seed: (values[seed] - baseline[seed]) / mean for seed in seeds}
