"""The answers to each class in each group of images, counted where they are computed, without a synchronisation."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from overfocus.data import Split
from overfocus.metrics.groups import Cells, worst_group

WORST_GROUP = "worst_group"


class GroupSums:
    """Counts of an evaluation of a `split`; of one whose groups are not known it has none."""

    def __init__(self, split: Split, like: Tensor) -> None:
        """Make sums of the type of `like`, where it lies."""
        groups = split.groups
        self.places = None if groups is None else groups.places.to(like.device)
        self.shape = (2, len(split.classes), 0 if groups is None else len(groups.names))
        self.sums = like.new_zeros(self.shape).flatten()

    def add(self, answers: Tensor, labels: Tensor, rows: Tensor) -> None:
        """Count the answers to a batch, [n] each; `rows` are places in the split."""
        if self.places is None:
            return
        _, classes, number = self.shape
        cell = labels * number + self.places[rows]
        self.sums.index_add_(0, cell, (answers == labels).to(self.sums))
        self.sums.index_add_(0, cell + classes * number, torch.ones_like(labels).to(self.sums))

    def scores(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the worst-group accuracy; nothing where groups are not known, or no class has images enough in one."""
        if self.places is None:
            return {}
        found = worst_group(Cells(*total(self.sums).view(self.shape).long().cpu().numpy()))
        return {WORST_GROUP: found} if isfinite(found) else {}
