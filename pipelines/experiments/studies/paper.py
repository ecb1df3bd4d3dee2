"""The figures of Yao et al. (arXiv 2007.12865) that a study's stand beside.

Of version 3, except for methods that only version 1 has (`V1_METHODS`), and its speeds.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssl_recsys.evaluation.metrics import NAMES

WIKIPEDIA, AAI = "wikipedia", "aai"
TITLES = {WIKIPEDIA: "Wikipedia", AAI: "app-to-app installs (AAI)"}
V1_METHODS = ("fd_so", "fm_so", "fd_fm_so")

# fraction of the training pairs -> method -> metric -> value
Table = Mapping[float, Mapping[str, Mapping[str, float]]]


def _rows(**values: tuple[float, ...]) -> dict[str, dict[str, float]]:
    # AAI's rows have the two recalls only.
    return {name: dict(zip(NAMES, row, strict=False)) for name, row in values.items()}


# All evaluation pairs, the whole corpus.
RESULTS: Mapping[str, Table] = {
    WIKIPEDIA: {
        1.0: _rows(
            baseline=(0.0537, 0.1930, 0.0171, 0.0229),
            do=(0.0535, 0.1912, 0.0172, 0.0229),
            so=(0.0549, 0.1956, 0.0176, 0.0235),
            fd=(0.0605, 0.2056, 0.0198, 0.0259),
            fm=(0.0539, 0.1934, 0.0172, 0.0230),
            fd_fm=(0.0596, 0.2061, 0.0193, 0.0255),
        ),
        0.1: _rows(
            baseline=(0.0237, 0.0924, 0.0077, 0.0105),
            do=(0.0272, 0.1046, 0.0089, 0.0120),
            so=(0.0254, 0.0978, 0.0083, 0.0112),
            fd=(0.0373, 0.1294, 0.0125, 0.0164),
            fm=(0.0261, 0.1023, 0.0084, 0.0115),
            fd_so=(0.0360, 0.1294, 0.0120, 0.0159),
            fm_so=(0.0272, 0.1037, 0.0089, 0.0120),
            fd_fm=(0.0345, 0.1243, 0.0115, 0.0153),
            fd_fm_so=(0.0342, 0.1232, 0.0114, 0.0151),
        ),
    },
    AAI: {
        1.0: _rows(
            baseline=(0.2891, 0.5163),
            do=(0.2516, 0.4620),
            so=(0.2879, 0.5119),
            fd=(0.2972, 0.5233),
            fm=(0.3031, 0.5338),
            fd_so=(0.3056, 0.5386),
            fm_so=(0.3009, 0.5312),
            fd_fm=(0.3125, 0.5464),
            fd_fm_so=(0.3020, 0.5288),
        ),
        0.1: _rows(
            baseline=(0.2827, 0.4993),
            do=(0.2642, 0.4810),
            so=(0.2879, 0.5061),
            fd=(0.2987, 0.5202),
            fm=(0.2995, 0.5235),
            fd_so=(0.3088, 0.5363),
            fm_so=(0.3060, 0.5319),
            fd_fm=(0.3023, 0.5281),
            fd_fm_so=(0.3024, 0.5222),
        ),
        0.01: _rows(
            baseline=(0.2600, 0.4357),
            do=(0.2616, 0.4483),
            so=(0.2836, 0.4838),
            fd=(0.2832, 0.4858),
            fm=(0.2733, 0.4756),
            fd_so=(0.3072, 0.5120),
            fm_so=(0.2892, 0.4971),
            fd_fm=(0.3071, 0.5128),
            fd_fm_so=(0.3022, 0.5095),
        ),
    },
}

# Recall@10 of slices, all training data.
SLICES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    WIKIPEDIA: {
        "tail": {"baseline": 0.0472, "fd": 0.0571, "fm": 0.0473, "fd_fm": 0.0560},
        "head": {"baseline": 0.0610, "fd": 0.0643, "fm": 0.0613, "fd_fm": 0.0635},
    },
    AAI: {
        "tail": {"baseline": 0.0169, "fd": 0.0408, "fm": 0.0321, "fd_fm": 0.0380},
        "head": {"baseline": 0.2976, "fd": 0.2983, "fm": 0.3043, "fd_fm": 0.3149},
    },
}

# Version 1, Table 6.
STEPS_PER_SECOND: Mapping[str, float] = {
    "baseline": 345.2,
    "do": 340.8,
    "so": 338.5,
    "fd": 142.1,
    "fm": 183.5,
    "fd_so": 125.7,
    "fm_so": 138.0,
    "fd_fm": 126.4,
    "fd_fm_so": 113.5,
}

# Recall@50 against the dropout rate, alpha 1: FD peaks near the first and falls under the
# baseline past the second.
FD_PEAK_RATE = 0.3
FD_FALLS_BELOW_PAST = 0.7


def value(dataset: str, fraction: float, part: str, metric: str, method: str) -> float | None:
    """The paper's figure, or None where it gives none.

    Args:
      dataset: a key of `RESULTS`, or empty.
      fraction: share of the training pairs.
      part: `overall`, `head` or `tail`.
      metric: such as `recall@10`.
      method: a name of `METHODS`.
    """
    if part == "overall":
        row = RESULTS.get(dataset, {}).get(fraction, {}).get(method, {})
        return row.get(metric)
    if fraction == 1.0 and metric == "recall@10":
        return SLICES.get(dataset, {}).get(part, {}).get(method)
    return None
