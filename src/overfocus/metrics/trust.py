"""Does a map say where a network looks? Deletion in its order against deletion of the same shape elsewhere.

A map that orders the pixels of a picture has to lose more of the answer, when what it shows first is hidden, than the
same holes lose at any other place. The control is the map itself, turned over and moved to a random place, so it has
the map's shape, smoothness and share: a map that is wide is not worse for it, and noise is worth 0.

Intervals are Student's over pictures, since few are asked: where several maps were tried, wider by Bonferroni.
"""

from __future__ import annotations

from math import nan, sqrt

from torch import Tensor

from overfocus.metrics.score import LEVEL, Metric, Score

GAP = Metric(
    "map against chance",
    "mean over the hidden shares of p(first prediction | as much hidden in the same shape elsewhere) - p(first "
    "prediction | what the map shows first hidden)",
    "higher", "", -1.0, 1.0,
)  # fmt: skip
FEWEST = 8
"""Pictures with a map below which nothing is said."""
FLOOR = 0.01
"""Least gap of a map that says anything, however sure it is."""


def gaps(salient: Tensor, control: Tensor) -> Tensor:
    """Return for each picture how much more of the answer goes by the map than by chance: [N] float64 in [-1, 1].

    salient, control: [S, N] probability of the first prediction with each share hidden in the order of the map, and in
    that of the same shape elsewhere; NaN for a picture without a map, which then has no answer.
    """
    return (control.double() - salient.double()).mean(dim=0)


def gap_score(values: Tensor, tried: int = 1, note: str = "") -> Score:
    """Return the mean of `values` [N], as `gaps` returns them, with the interval that holds for all of `tried` maps
    together in 95 % of the cases; pictures without an answer are left out.
    """
    from scipy.stats import t

    kept = values[values.isfinite()].double()
    count = len(kept)
    if count < 2:
        return Score(GAP, float(kept[0]) if count else nan, n=count, note=note or "no map" * (not count))
    mean = float(kept.mean())
    half = float(t.ppf(1 - (1 - LEVEL) / 2 / tried, count - 1)) * float(kept.std()) / sqrt(count)
    return Score(GAP, mean, mean - half, mean + half, count, note)


def trusted(score: Score) -> bool | None:
    """Return whether a map with this `gap_score` orders pixels better than chance: the interval lies above 0, and the
    gap is 0.01 or more. None for fewer than 8 pictures.
    """
    return score.low > 0 and score.value >= FLOOR if score.n >= FEWEST else None
