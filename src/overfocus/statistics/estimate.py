"""A number over seeds with its 95 % interval.

The seeds are the sample: an interval says how far the number would move with other seeds, on the same test images.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
from scipy import stats

from overfocus.core.errors import OverfocusError

LEVEL = 0.95
SAME = 1e-12
"""Numbers that differ by less than this share of the largest of them are equal but for rounding."""


@dataclass(frozen=True)
class Interval:
    """A number, the ends of its 95 % interval, and how many seeds it is of; NaN where there is no answer."""

    value: float
    low: float = nan
    high: float = nan
    n: int = 0
    note: str = ""
    """Why there is no answer, or what was left out."""

    @property
    def answered(self) -> bool:
        """Whether there is a number at all."""
        return isfinite(self.value)

    @property
    def bounded(self) -> bool:
        """Whether the interval has ends."""
        return isfinite(self.low) and isfinite(self.high)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: finite(number) for name, number in numbers.items()} | {"n": self.n, "note": self.note}

    def __str__(self) -> str:
        if not self.answered:
            return f"no answer ({self.note})" if self.note else "no answer"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.bounded else f"{self.value:.3f}"


def mean_interval(values: np.ndarray) -> Interval:
    """Return the mean of `values` [S] over seeds with its 95 % t interval: mean ± t(0.975, n - 1) s / sqrt(n).

    Numbers that are not finite are left out and counted in the note. The ends are NaN for fewer than two numbers, and
    where all are equal: then nothing is known of the noise. The ends may lie outside the range of the measure. How
    often it covers the true mean: docs/decisions/0008-what-a-verdict-rests-on.md.
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
    low, high = stats.t.interval(LEVEL, len(kept) - 1, loc=mean, scale=stats.sem(kept))
    return Interval(mean, float(low), float(high), len(kept), note)


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


def finite(number: float) -> float | None:
    """Return what JSON can hold."""
    return float(number) if isfinite(number) else None
