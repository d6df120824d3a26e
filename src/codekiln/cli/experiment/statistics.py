"""Means of few runs, and what differs between two variants that had the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

# two-sided 95% of Student's t by degrees of freedom; beyond, the normal distribution's
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL = 1.96


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95% interval (Student's t)."""
    count = len(values)
    if count < 2:
        return fmean(values), math.inf
    t = _T[count - 2] if count - 2 < len(_T) else _NORMAL
    return fmean(values), t * stdev(values) / math.sqrt(count)


def difference(values: Sequence[float], others: Sequence[float]) -> tuple[float, float, bool]:
    """Of pairs with the same seed: mean, half its interval, and whether that leaves out 0."""
    mean, half = interval([value - other for value, other in zip(values, others, strict=True)])
    return mean, half, abs(mean) > half
