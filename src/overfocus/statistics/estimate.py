"""A number over seeds with its 95 % interval.

The seeds are the sample: an interval says how far the number would move with other seeds, on the same test images.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np
from scipy import stats

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import Interval
from overfocus.statistics.folds import widening

LEVEL = 0.95
SAME = 1e-12
"""Numbers that differ by less than this share of the largest of them are equal but for rounding."""


def mean_interval(values: np.ndarray, folds: int = 0) -> Interval:
    """Return the mean of `values` [S] over seeds with its 95 % t interval: mean ± t(0.975, n - 1) s / sqrt(n).

    Numbers that are not finite are left out and counted in the note. The ends are NaN for fewer than two numbers, and
    where all are equal: then nothing is known of the noise. The ends may lie outside the range of the measure. How
    often it covers the true mean: docs/decisions/0008-what-a-verdict-rests-on.md. `folds`: of a cross-validation, whose
    standard error is corrected (`statistics.folds`); 0 for independent runs.
    """
    values = line(values)
    kept = values[np.isfinite(values)]
    note = "" if len(kept) == len(values) else f"{len(values) - len(kept)} of {len(values)} seeds are missing"
    if not len(kept):
        return Interval(nan, note=note or "no seed")
    mean, why = float(kept.mean()), unbounded(kept, "number")
    note = "; ".join(filter(None, (note, why)))
    if why:
        return Interval(mean, n=len(kept), note=note)
    low, high = stats.t.interval(LEVEL, len(kept) - 1, loc=mean, scale=stats.sem(kept) * widening(len(kept), folds))
    return Interval(mean, float(low), float(high), len(kept), note)


def means(values: Mapping[str, np.ndarray], folds: int = 0) -> dict[str, Interval]:
    """Return the mean over seeds of each method's numbers [S], of those methods that have any; `folds` as above."""
    found = {method: mean_interval(each, folds) for method, each in values.items()}
    return {method: mean for method, mean in found.items() if mean.answered}


def unbounded(values: np.ndarray, what: str) -> str:
    """Say why `values` [n], all finite, bear no interval: one seed, or no spread; empty where they do."""
    if len(values) == 1:
        return "one seed: no interval can be given"
    if constant(values):
        return f"the same {what} on all {len(values)} seeds: the noise cannot be estimated"
    return ""


def constant(values: np.ndarray, scale: float = 0.0) -> bool:
    """Whether `values` [n] are equal but for the rounding of numbers as large as they are, or as `scale`."""
    return bool(np.ptp(values) <= SAME * max(float(np.abs(values).max()), scale))


def line(values: np.ndarray) -> np.ndarray:
    """Return numbers over seeds as [S] float64; OverfocusError for another shape."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise OverfocusError(f"numbers over seeds have the shape [S], not {list(values.shape)}; give one for each seed")
    return values
