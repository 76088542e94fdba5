"""What hiding costs: curves over the hidden share of an image, and the areas under and between them.

The overfocus score is bounded by accuracy, since what is wrong at first cannot be lost: `relative` is of what there is
to lose. Both favour methods whose holes in training resemble those of the score, SGDrop before all.

A curve is given as `values` [S, N], one row for each share: whether image n is still right (0 or 1), or the
probability of the class that was predicted at first. NaN stands where an image has no map. A curve alone says little,
because hiding anything costs something: each is read against the control that hides the same amount in the same shape
elsewhere.
"""

from __future__ import annotations

from math import nan

import torch
from torch import Tensor

from overfocus.metrics.score import Metric

OVERFOCUS = Metric(
    "overfocus score",
    "area between the accuracy under hiding at random and under hiding what is salient, over shares from 0 to 1",
    "lower", "accuracy x share", -1.0, 1.0,
)  # fmt: skip
RELATIVE = Metric(
    "overfocus score, of what there is to lose",
    "over pictures right at first: area between the two curves / (1 - floor), floor: share of their commonest class",
    "lower", "", -1.0, 1.0,
)  # fmt: skip
NOTHING_TO_LOSE = "nothing can be lost, as all pictures that are right at first are of one class"
KEPT_AREA = Metric("area under the hiding curve", "trapezoid of accuracy over the hidden share", "higher")
DELETION = Metric(
    "deletion", "trapezoid of p(first prediction) while the most salient pixels go first (RISE, 1806.07421)", "neither"
)
INSERTION = Metric(
    "insertion", "trapezoid of p(first prediction) while the most salient pixels come first (RISE, 1806.07421)",
    "neither",
)  # fmt: skip
DELETION_GAP = Metric(
    "deletion gap", "deletion of the same shape elsewhere minus deletion of what is salient", "neither", "", -1.0, 1.0
)
INSERTION_GAP = Metric(
    "insertion gap",
    "insertion of what is salient minus insertion of the same shape elsewhere",
    "neither",
    "",
    -1.0,
    1.0,
)


def area_under(values: Tensor, shares: Tensor) -> Tensor:
    """Return the area under each image's curve `values` [S, N] over `shares` [S], ascending, by trapezoids, divided by
    the range of the shares: [N].
    """
    width = shares.diff().to(values.dtype)[:, None]
    return ((values[1:] + values[:-1]) / 2 * width).sum(dim=0) / width.sum()


def overfocus(salient: Tensor, control: Tensor, shares: Tensor) -> Tensor:
    """Return the area between two curves [S, N], control minus salient, over shares from 0 to 1: [N] in [-1, 1].

    Where the last share is below 1, the line goes on to 1, at which both hide everything and the difference is 0. The
    mean over images is the overfocus score: 0 where what is salient matters no more than any other part of that shape;
    lower is better, NaN for an image without a map.
    """
    gap = (control - salient).double()
    ends = torch.cat((shares.double(), shares.new_ones(1, dtype=torch.float64)))
    gap = torch.cat((gap, torch.zeros_like(gap[:1]).where(gap[-1:].isfinite(), torch.nan)))
    return ((gap[1:] + gap[:-1]) / 2 * ends.diff()[:, None]).sum(dim=0)


def floor(whole: Tensor, labels: Tensor) -> float:
    """Return the share of the commonest class among the pictures that were right at first, in (0, 1): what is kept of
    them by one class for everything, so that the rest is all there is to lose. NaN where that is nothing.

    whole: the classes [N] that are named with nothing hidden; labels: [N].
    """
    right = labels[whole == labels]
    most = int(right.bincount().amax()) if len(right) else 0
    return most / len(right) if most < len(right) else nan


def relative(score: Tensor, whole: Tensor, labels: Tensor) -> Tensor:
    """Return each picture's `overfocus` [N] as a share of what there is to lose: [N]; NaN where it was not right at
    first, and for all where nothing can be lost. `whole` and `labels` [N] as in `floor`.
    """
    return torch.where(whole == labels, score / (1 - floor(whole, labels)), torch.nan)
