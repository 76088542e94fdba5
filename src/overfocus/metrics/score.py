"""A number with what a reader must know of it: what it means, which way is better, how sure it is, and from how many.

Intervals are bootstrapped over images (Efron 1979, percentiles), from a seed: the images are the sample, so an interval
says how far the number would move with other images, not with another training run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import nan, sqrt
from typing import Any, Literal

import numpy as np
from torch import Tensor

from overfocus.core.interval import Interval

Better = Literal["higher", "lower", "neither"]
DRAWS, LEVEL = 1000, 0.95
NORMAL = 1.959964
"""Standard deviations on each side that hold 95 % of a normal distribution."""
MANY = 20_000
"""Images from which on the interval is the normal one, which the bootstrap has then become."""
FEW = 30
"""Images below which no interval is worth a sentence."""


@dataclass(frozen=True)
class Metric:
    """What a number means."""

    title: str
    """A few words for a table."""
    formula: str
    better: Better = "neither"
    unit: str = ""
    low: float = 0.0
    high: float = 1.0

    @property
    def arrow(self) -> str:
        """Which way is better, as a table shows it."""
        return {"higher": "↑", "lower": "↓", "neither": ""}[self.better]


@dataclass(frozen=True)
class _OfMetric:
    metric: Metric


@dataclass(frozen=True)
class Score(Interval, _OfMetric):  # the fields of the last base come first: Score(metric, value, ...)
    """A metric's value with its 95 % interval and the number of images behind it; NaN where it has no answer."""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        numbers = super().as_dict()
        note = numbers.pop("note")
        metric = {name: getattr(self.metric, name) for name in ("title", "unit", "better")}
        return {**numbers, **metric, "note": note}


def mean_score(metric: Metric, values: Tensor, *, seed: int = 0, note: str = "") -> Score:
    """Return the mean of `values` [N] over images with its interval; images without an answer (NaN) are left out."""
    values = values.detach().double().cpu().flatten()
    kept = values[values.isfinite()]
    if not len(kept):
        return Score(metric, nan, note=note or "no image has an answer")
    low, high = mean_interval(kept, seed)
    left_out = len(values) - len(kept)
    missing = f"{left_out} images without an answer left out" if left_out else ""
    return Score(metric, float(kept.mean()), low, high, len(kept), "; ".join(filter(None, (note, missing))))


def mean_interval(values: Tensor, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values` [N], all finite; NaN for fewer than two."""
    count = len(values)
    if count < 2:
        return nan, nan
    if count > MANY:
        half = NORMAL * float(values.std()) / sqrt(count)
        return float(values.mean()) - half, float(values.mean()) + half
    means = resample_counts(count, seed) @ values.numpy() / count
    return percentiles(means)


def percentiles(resampled: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a number from its values on resamples [R]; NaN for fewer than two finite ones."""
    finite = resampled[np.isfinite(resampled)]
    if len(finite) < 2:
        return nan, nan
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@lru_cache(maxsize=4)
def resample_counts(count: int, seed: int) -> np.ndarray:
    """Return how often each of `count` images is in each resample: [DRAWS, count]. Shared, so that the intervals of one
    examination are of the same resamples.
    """
    draws = np.random.Generator(np.random.Philox(seed)).integers(0, count, (DRAWS, count))
    draws += np.arange(DRAWS)[:, None] * count
    return np.bincount(draws.ravel(), minlength=DRAWS * count).reshape(DRAWS, count).astype(np.float64)
