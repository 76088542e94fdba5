"""The order of an epoch in which every class is drawn equally often."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from overfocus.core.balance import check_counts
from overfocus.core.key import Key


class Draws(NamedTuple):
    """The images of an epoch."""

    rows: Tensor
    """[N] int64."""
    turns: Tensor
    """[N] int64: how often the same image was drawn before in this epoch, so that it is changed in another way."""


def class_balanced(labels: Tensor, classes: int, key: Key) -> Draws:
    """Draw as many images as there are `labels` [N], N / K of each of the K `classes`, in random order.

    Where K does not divide N, N mod K classes that are drawn anew get one more. Within a class images are drawn without
    replacement until all were drawn, then again: n images that are drawn q times occur floor(q / n) or ceil(q / n)
    times each. Raises OverfocusError where a class has no image.
    """
    count, device = len(labels), labels.device
    counts = torch.bincount(labels, minlength=classes)
    check_counts("sampler", counts)
    quota = torch.full_like(counts, count // classes)
    quota[key.fold_in("one more").order(classes)[: count % classes]] += 1
    shuffled = key.fold_in("within").order(count)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    drawn = torch.arange(classes, device=device).repeat_interleave(quota)
    place = torch.arange(count, device=device) - (quota.cumsum(0) - quota)[drawn]
    size = counts[drawn]
    rows = by_class[(counts.cumsum(0) - counts)[drawn] + place % size]
    order = key.fold_in("order").order(count)
    return Draws(rows[order], (place // size)[order])
