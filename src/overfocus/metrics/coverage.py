"""How many of its features a class uses: attribution summed over positions, for each channel in front of the head.

A class that stands on two channels of 512 falls with them. Coverage is of the class's mean attribution, so a channel
counts that is used in some of its images; it grows with the number of images, so compare at equal numbers. Images with
large logits weigh more, as they do in the mean. Wide is no better by itself: noise uses every channel. Read it beside
accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric, Score, mean_score
from overfocus.metrics.spread import mass_area, participation

USED = Metric("channels used", "mean over classes of (sum a)^2 / (C sum a^2)", "higher", "of the channels")
USED_90 = Metric(
    "channels of 90 % of the use", "mean over classes of the least share that holds 90 %", "higher", "of the channels"
)


@dataclass(frozen=True)
class Coverage:
    """The share of channels that each of K classes uses: all [K]; NaN for a class without images or attribution."""

    participation: Tensor
    """(sum a)^2 / (C sum a^2) of the class's mean channel attribution a, in [1/C, 1]; higher is more channels."""
    share_90: Tensor
    """Least share of channels that holds 90 % of sum a, in [1/C, 1]."""
    count: Tensor
    """Images of the class that have an answer, int64."""


def coverage(used: Tensor, labels: Tensor, classes: int) -> Coverage:
    """Return the coverage of each of `classes` classes from `used` [N, C], at least 0, and `labels` [N] int64.

    Images with a value that is not finite are left out. Raises OverfocusError where shapes do not fit, `used` is
    negative, or a label is no class.
    """
    used, labels = _clean(used, labels, classes)
    mean, count = _means(used, labels, classes)
    return Coverage(participation(mean), mass_area(mean, 0.9), count)


def coverage_scores(used: Tensor, labels: Tensor, classes: int, *, seed: int = 0) -> dict[str, Score]:
    """Return the means over classes of `coverage`, as participation and share_90; n counts classes, and so does the
    interval. A resample of images repeats some and so covers less: an interval over images would miss the value.
    Classes without an answer are left out. Errors as `coverage`.
    """
    found = coverage(used, labels, classes)
    kept = ~found.participation.isnan()
    missing = classes - int(kept.sum())
    note = f"over classes; {missing} without an answer left out" if missing else "over classes"
    return {
        "participation": mean_score(USED, found.participation[kept], seed=seed, note=note),
        "share_90": mean_score(USED_90, found.share_90[kept], seed=seed, note=note),
    }


def _means(used: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean channel attribution of each class [K, C], NaN without images, and its images [K]."""
    sums = used.new_zeros(classes, used.shape[1]).index_add_(0, labels, used)
    count = torch.bincount(labels, minlength=classes)
    return torch.where(count[:, None] > 0, sums / count[:, None], nan), count


def _clean(used: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    if used.ndim != 2 or labels.shape != used.shape[:1] or labels.is_floating_point():
        raise OverfocusError(
            f"used {tuple(used.shape)} and labels {labels.dtype} {tuple(labels.shape)} do not fit; "
            "give attribution summed over positions [N, C] and the class of each image as integers [N]"
        )
    labels = labels.long().to(used.device)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise OverfocusError(f"labels run from {int(labels.min())} to {int(labels.max())}; there are {classes} classes")
    if bool((used < 0).any()):
        raise OverfocusError("used holds negative attribution; take the ReLU before summing over positions")
    kept = used.isfinite().all(dim=1)
    return used.detach()[kept].double(), labels[kept]
