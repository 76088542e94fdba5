"""Per-group sums of confidence and accuracy: all that calibration and selective prediction need of the images.

A group is the images of one bin or of one confidence, so the order of the images never matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError

BINS = 15


@dataclass(frozen=True)
class Groups:
    """Sums over the images of each of G groups, in ascending order of confidence."""

    sums: Tensor
    """[G, 4] float64: images, confidence, hit, (confidence - hit)^2. A group may be empty."""

    @staticmethod
    def tally(group: Tensor, groups: int, images: Tensor) -> Groups:
        """Sum the rows `images` [N, 4] of each `group` [N] int64."""
        return Groups(images.new_zeros(groups, 4).index_add_(0, group, images))

    def occupied(self) -> Groups:
        """Return the groups that hold anything."""
        return Groups(self.sums[self.sums[:, 0] > 0])


@dataclass(frozen=True)
class Tables:
    """The same images grouped twice."""

    bins: Groups
    """In the equal-width bins of the diagram."""
    ranks: Groups
    """One group for each confidence."""


@dataclass(frozen=True)
class Placed:
    """N images with the bin and the rank of their confidence, so that a resample of them needs no new sort."""

    images: Tensor
    """[N, 4] float64: 1, confidence, hit, (confidence - hit)^2."""
    bin: Tensor
    """[N] int64."""
    rank: Tensor
    """[N] int64; equal confidences have one rank."""
    sizes: tuple[int, int]
    """Number of bins and of ranks."""

    @staticmethod
    def of(confidence: Tensor, hit: Tensor, bins: int = BINS) -> Placed:
        """Place images of `confidence` [N] in [0, 1] and `hit` [N] in [0, 1], neither with NaN."""
        confidence, hit = confidence.detach().double().cpu(), hit.detach().double().cpu()
        known, rank = confidence.unique(return_inverse=True)
        images = torch.stack((torch.ones_like(hit), confidence, hit, (confidence - hit).square()), dim=1)
        return Placed(images, equal_width(confidence, bins), rank, (bins, len(known)))

    def tables(self, rows: Tensor | None = None) -> Tables:
        """Sum the images, or those of `rows`, in both groupings."""
        images, places = self.images, (self.bin, self.rank)
        if rows is not None:
            images, places = images[rows], (self.bin[rows], self.rank[rows])
        bins, ranks = (Groups.tally(place, size, images) for place, size in zip(places, self.sizes, strict=True))
        return Tables(bins, ranks)


def equal_width(confidence: Tensor, bins: int) -> Tensor:
    """Return the bin of each `confidence` [N]: [N] int64. Bin b holds (b / bins, (b + 1) / bins], the first also 0."""
    if bins < 1:
        raise OverfocusError(f"calibration with {bins} bins; give at least 1")
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)
    return torch.bucketize(confidence, edges[1:-1])
