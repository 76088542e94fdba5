"""Two measures of the same runs: the joint region of their mean, and how they go together."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, nan, sqrt, tanh

import numpy as np
from scipy import stats

from overfocus.core.interval import Interval
from overfocus.metrics.score import NORMAL
from overfocus.statistics.estimate import LEVEL
from overfocus.statistics.folds import widening

FLAT = 1e-10
"""Share of the longer axis below which a region is a line: one measure follows from the other, or never changes."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where the true mean of two measures lies: an ellipse."""

    centre: np.ndarray
    """[2]."""
    axes: np.ndarray
    """[2, 2]: its half axes, one in each row, the longer first."""

    def outline(self, points: int = 120) -> np.ndarray:
        """Return points on its border, [points + 1, 2], the first again at the end."""
        turn = np.linspace(0, 2 * np.pi, points + 1)[:, None]
        return self.centre + np.cos(turn) * self.axes[0] + np.sin(turn) * self.axes[1]


def mean_region(values: np.ndarray, folds: int = 0) -> Region | None:
    """Return the joint 95 % region of the mean of `values` [n, 2], both finite, one row for each seed.

    Hotelling's T squared (1931): all m with n (mean - m) S^-1 (mean - m) <= 2 (n - 1) / (n - 2) F(0.95; 2, n - 2), S
    the sample covariance. It covers the true pair in 95 % of studies with normal noise. With 3 seeds it reaches 16
    standard deviations, with 5 seeds 2.3. None for fewer than 3 rows, and where they lie on a line. `folds`: as for
    `mean_interval`.
    """
    n = len(values)
    if n < 3:
        return None
    scale = values.std(axis=0, ddof=1)
    if not (np.isfinite(scale).all() and scale.min() > 0):
        return None
    # In units of each measure's own spread, so that it does not matter what they are counted in.
    variances, directions = np.linalg.eigh(np.corrcoef(values.T))
    if variances[0] <= FLAT * variances[1]:
        return None
    reach = sqrt(2 * (n - 1) / (n * (n - 2)) * float(stats.f.ppf(LEVEL, 2, n - 2)))
    axes = widening(n, folds) * reach * np.sqrt(variances)[:, None] * directions.T * scale
    return Region(values.mean(axis=0), axes[::-1])


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Return Spearman's correlation of `x` [M, S] and `y` [M, S], M methods and S seeds, NaN for a missing run.

    The mean of each seed is taken off first, so that a seed that is good for all methods does not count. In [-1, 1],
    0 is none. The interval is Fisher's, tanh(atanh(r) +- 1.96 s), with the variance of Bonett and Wright (2000),
    s^2 = (1 + r^2 / 2) / (N - 3), where N is the number of runs less that of the means taken off, plus 1. It takes what
    is left of the runs as independent, so it is of these methods: others may go together otherwise. NaN for one method,
    fewer than 5 such runs, or where one of the two never changes.
    """
    known = np.isfinite(x) & np.isfinite(y)
    shared = known & (known.sum(axis=0) > 1)
    free = int(shared.sum() - shared.any(axis=0).sum()) + 1
    if free < 5:
        return Interval(nan, n=int(shared.sum()), note="too few runs")
    first, second = (_centred(each, shared) for each in (x, y))
    if min(np.ptp(first), np.ptp(second)) <= 1e-12:
        return Interval(nan, n=len(first), note="one of the two is the same in all runs")
    found, _ = stats.spearmanr(first, second)
    r = float(found)  # pyright: ignore[reportArgumentType] - a number: both are one line
    half = NORMAL * sqrt((1 + r**2 / 2) / (free - 3))
    middle = atanh(max(-1 + 1e-9, min(1 - 1e-9, r)))
    return Interval(r, tanh(middle - half), tanh(middle + half), len(first))


def _centred(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the `known` among `values` [M, S] less the mean of their seed: [N]."""
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.round((filled - mean)[known], 12)  # ties that differ only by rounding stay ties
