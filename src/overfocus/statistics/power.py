"""How many seeds it takes: what these runs could have seen, and what would settle a question.

All of it takes the noise that was seen for the true one. From few seeds that is a rough guess: with 5 seeds the true
noise may be 0.6 to 2.9 times as large (95 % interval of a normal standard deviation).
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, isfinite, nan, sqrt

import numpy as np
from scipy import stats
from scipy.optimize import root_scalar

LEVEL, POWER = 0.05, 0.8
MOST = 1000
"""Seeds beyond which nobody goes."""


def smallest_detectable(noise: float, n: int) -> float:
    """Return the least true difference that a two-sided paired t test at 5 % finds in 80 % of studies of `n` seeds.

    noise: standard deviation of the differences over seeds. In the measure's own unit, above 0, lower is better.
    NaN for fewer than two seeds or where the noise is not known. Source: Cohen 1988, from the noncentral t
    distribution.
    """
    return noise * _effect_size(n) if n >= 2 and noise > 0 else nan


def seeds_to_settle(difference: float, noise: float, *, margin: float = nan, level: float = LEVEL) -> float:
    """Return how many seeds in all would tell whether there is a difference, if what was seen is the truth.

    That is the lesser of two numbers. The seeds at which a two-sided paired t test at `level` finds `difference` with
    80 % power. And, where a `margin` above |difference| is given, those at which the 95 % interval lies within
    ±margin with about 80 % power: (t(0.975, n - 1) + t(0.8, n - 1)) noise / sqrt(n) <= margin - |difference|.
    inf for more than 1,000; NaN where the noise is not known.
    """
    if not (isfinite(difference) and noise > 0):
        return nan
    n = np.arange(2, MOST + 1)
    found = power(abs(difference) / noise, n, level) >= POWER
    if isfinite(margin):
        reach = (stats.t.ppf(0.975, n - 1) + stats.t.ppf(POWER, n - 1)) * noise / np.sqrt(n)
        found |= reach <= margin - abs(difference)
    return float(n[found.argmax()]) if found.any() else inf


def seeds_to_flip(family: int, level: float = LEVEL) -> int:
    """Return the least number of seeds at which a sign-flip test of one among `family` can fall to `level` after Holm.

    The least two-sided p of n seeds is 2 / 2^n; Holm multiplies the first one by the size of the family.
    """
    return int(np.ceil(np.log2(2 * family / level)))


def power(size: float | np.ndarray, n: int | np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return the chance, in [0, 1], that a two-sided paired t test at `level` finds a difference of `size` standard
    deviations with `n` seeds.

    t^2 is noncentral F. statsmodels' TTestPower is the same number, but NaN at scattered places (scipy's noncentral t,
    as of 1.17), where a search would stop.
    """
    least = stats.f.isf(level, 1, n - 1)
    return stats.ncf.sf(least, 1, n - 1, n * np.square(size))


@lru_cache(maxsize=1024)
def _effect_size(n: int) -> float:
    start = stats.t.ppf(1 - LEVEL / 2, n - 1) / sqrt(n)
    return root_scalar(lambda size: power(size, n) - POWER, bracket=(0.1 * start, 2 * start)).root
