"""What a method and the baseline say of each test picture: how far a difference in accuracy rests on these pictures.

An interval over seeds is about other seeds on the same test pictures. One over seeds and pictures is about other seeds
and other pictures of the same kind; neither is about other training images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, nan, sqrt

import numpy as np
from scipy import stats

from overfocus.core.interval import Interval
from overfocus.metrics.score import NORMAL
from overfocus.statistics.power import LEVEL

NOT_KEPT = Interval(nan, note="the value on each picture is not kept")
"""The interval over seeds and pictures of a number of which only the mean over pictures is known."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Predictions of the same S seeds for the same N pictures."""

    method: np.ndarray
    """[S, N]: the classes that the runs of the method name."""
    baseline: np.ndarray
    """[S, N]: those that the runs of the baseline name."""
    labels: np.ndarray
    """[N]: what the pictures are."""

    @property
    def differences(self) -> np.ndarray:
        """[S, N]: 1 where only the method is right, -1 where only the baseline is, otherwise 0."""
        return (self.method == self.labels).astype(np.float64) - (self.baseline == self.labels)

    def of(self, label: int) -> Pictures:
        """Return those of one class."""
        rows = self.labels == label
        return replace(self, method=self.method[:, rows], baseline=self.baseline[:, rows], labels=self.labels[rows])

    def reach(self, share: float = 1.0) -> float:
        """Return `tie_reach`, at a look that may spend `share` of the level."""
        reach = tie_reach(self.method, self.baseline, self.labels)
        return reach * float(stats.norm.isf(LEVEL * share / 2)) / NORMAL if reach else 0.0

    def interval(self, share: float = 1.0) -> Interval:
        """Return `two_level_interval`."""
        return two_level_interval(self.differences, share)


def two_level_interval(values: np.ndarray, share: float = 1.0) -> Interval:
    """Return the mean of `values` [S, N], S seeds by N pictures, with its 95 % interval over seeds and pictures.

    Seeds and pictures are crossed random effects. With the mean squares of the two-way table (of seeds A, of pictures
    B, of the rest E), the mean has the variance V = (A + max(B - E, 0)) / (S N), and the ends are mean -+ t(0.975, f)
    sqrt(V), f = (S - 1) (A + max(B - E, 0))^2 / A^2. This is how studies of several readers who all see the same cases
    are analysed (Dorfman, Berbaum and Metz 1992; f: Hillis 2007). Where pictures add nothing it is the t interval over
    seeds. `share`: as for `paired`. No ends for one seed, one picture, or values that are all equal.
    """
    seeds, pictures = values.shape
    mean = Interval(float(values.mean()) if values.size else nan, n=seeds)
    if min(seeds, pictures) < 2:
        return replace(mean, note=f"{seeds} seeds and {pictures} pictures: two of each are needed")
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + mean.value
    of_seeds, of_pictures = pictures * rows.var(ddof=1), seeds * columns.var(ddof=1)
    of_rest = np.square(rest).sum() / ((seeds - 1) * (pictures - 1))
    total = of_seeds + max(of_pictures - of_rest, 0.0)
    if not total > 0:
        return replace(mean, note="all values are equal, or the pictures differ by no more than chance")
    free = (seeds - 1) * (total / of_seeds) ** 2 if of_seeds > 0 else inf
    half = float(stats.t.isf(LEVEL * share / 2, free)) * sqrt(total / (seeds * pictures))
    return replace(mean, low=mean.value - half, high=mean.value + half)


def tie_reach(method: np.ndarray, baseline: np.ndarray, labels: np.ndarray) -> float:
    """Return how large a difference in accuracy images may still show where a method and the baseline have the same
    accuracy on all seeds: half of the 95 % interval over images, in [0, 1]; 0 where every prediction is the same.

    method, baseline: predictions [S, N] of the same seeds; labels: [N]. The interval is Wald's with half an image added
    to either side of those on which the two differ (Agresti and Min 2005), so that a few images without any difference
    do not count as proof of none.
    """
    if np.array_equal(method, baseline):
        return 0.0
    difference = ((method == labels).astype(float) - (baseline == labels)).mean(axis=0)
    return NORMAL * sqrt(float((difference**2).sum()) + 1) / (len(labels) + 2)
