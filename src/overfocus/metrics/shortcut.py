"""Classes whose maps look at the same narrow place in image after image, as they do at a watermark.

For each class: the overlap of its maps' top areas among themselves, less their overlap with the maps of other classes.
Photographers put the object in the middle, so the maps of any two images overlap; comparing with the other classes'
maps takes out what all share. It also hides a place that every class looks at: a mark on all images is not found here.

How sure: labels are permuted over the images, and the largest standardised difference of any class in each permutation
is what a class must beat (Westfall and Young's maxT, 1993), so the p-values hold for all classes together however many
there are. A flag is a suspicion and no proof: birds fly in the upper half. Look at the box, hide it, and see.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.agreement import top_area
from overfocus.metrics.score import Metric
from overfocus.metrics.spread import effective_area, mass

FEWEST = 5
"""Images of a class below which there is no answer."""
SUSPICION = Metric("suspicion", "confidence x (1 - effective area) x drop when the salient region is hidden", "lower")


@dataclass(frozen=True)
class ShortcutRule:
    """What a flag takes: all three at once."""

    effect: float = 0.2
    """Least difference of the overlaps, in [-1, 1]."""
    level: float = 0.05
    """Largest p-value, corrected over the classes."""
    area: float = 0.5
    """Largest mean effective area of the class's maps, a share of the map."""


@dataclass(frozen=True)
class Place:
    """Where the maps of one class look, and whether only that class looks there; NaN where there is no answer."""

    label: int
    n: int
    """Images with a map that has a place."""
    within: float = nan
    """Mean overlap |A and B| / sqrt(|A| |B|) of the top areas of two images of the class, in [0, 1]."""
    between: float = nan
    """The same of an image of the class and one of any other class."""
    z: float = nan
    """The effect less its mean over permutations, over their standard deviation."""
    p: float = nan
    """One-sided, corrected over the classes; at least 1 / (permutations + 1)."""
    area: float = nan
    """Mean effective area of the class's maps, a share of the map."""
    box: tuple[int, int, int, int] | None = None
    """(x0, y0, x1, y1) in map cells, x1 and y1 excluded: the mean map's top area where it reaches half its peak."""
    share: tuple[float, float, float, float] | None = None
    """The same box in shares of the image's width and height."""
    flagged: bool = False
    note: str = ""

    @property
    def effect(self) -> float:
        """Overlap within the class above that with other classes, in [-1, 1]; higher is more suspicious."""
        return self.within - self.between


def shortcuts(
    maps: Tensor,
    labels: Tensor,
    *,
    correct: Tensor | None = None,
    q: float = 0.05,
    rule: ShortcutRule = ShortcutRule(),
    permutations: int = 999,
    seed: int = 0,
) -> list[Place]:
    """Return the place of every class in `labels` [N] int64, ascending, from `maps` [N, h, w], each of its label.

    With `correct` [N] bool only those images count. `q` is the share of a map that is its top area. A class with fewer
    than 5 usable images, or without images of other classes, has no answer. Raises OverfocusError where shapes differ.
    """
    _check(maps, labels, correct)
    classes = labels.unique()
    kept = torch.ones_like(labels, dtype=torch.bool) if correct is None else correct.bool().to(labels.device)
    area = top_area(maps, q)
    rows = (kept.to(maps.device) & ~area[:, 0].isnan()).nonzero()[:, 0]
    index = torch.searchsorted(classes, labels)[rows.to(labels.device)].cpu()
    units = torch.nn.functional.normalize(area[rows], dim=1).cpu()
    within, between = overlaps(units, index, len(classes))
    z, p = _significance(units, index, within - between, permutations, seed)
    maps = maps[rows].cpu()
    numbers = torch.stack((within, between, z, p), dim=1).tolist()
    return [
        _place(int(label), maps[index == k], numbers[k], q, rule) for k, label in enumerate(classes.tolist())
    ]  # fmt: skip


def overlaps(units: Tensor, index: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean product of two rows of `units` [N, P] of the same class, and of one in and one outside it: two
    [K]. Rows are of length 1 and `index` [N] is their class. A class of fewer than five rows is NaN in both.

    Means over all pairs are products of sums, so no pairs are listed: sum over i != j of u_i u_j = |sum u|^2 - n.
    """
    count = torch.bincount(index, minlength=classes).to(units.dtype)
    sums = units.new_zeros(classes, units.shape[1]).index_add_(0, index, units)
    within = (sums.square().sum(dim=1) - count) / (count * (count - 1))
    between = (sums * (sums.sum(dim=0) - sums)).sum(dim=1) / (count * (len(units) - count))
    enough = (count >= FEWEST) & (count < len(units))
    return within.where(enough, torch.nan), between.where(enough, torch.nan)


def suspicion(confidence: Tensor, effective_area: Tensor, drop: Tensor) -> Tensor:
    """Return how suspicious each image is: [N] in [0, 1], the highest to be checked first; NaN where any input is.

    `confidence` in [0, 1] times 1 - `effective_area`, a share of the map, times `drop`, the confidence lost when the
    salient region is hidden (a gain counts as 0): sure, narrow, and lost without that place. A small object is all
    three and harmless, so this orders images for an eye and is no verdict. Raises OverfocusError outside the ranges.
    """
    for name, values, low in (("confidence", confidence, 0), ("effective_area", effective_area, 0), ("drop", drop, -1)):
        # Half a rounding error of bfloat16 is let pass; NaN is not outside.
        outside = (values < low - 1e-2) | (values > 1 + 1e-2)
        if values.shape != confidence.shape or bool(outside.any()):
            raise OverfocusError(f"{name} {tuple(values.shape)} is not [N] numbers in [{low}, 1]; give one an image")
    sure, narrow, lost = (each.detach().double().clamp(0, 1) for each in (confidence, 1 - effective_area, drop))
    return sure * narrow * lost


def _check(maps: Tensor, labels: Tensor, correct: Tensor | None) -> None:
    if maps.ndim != 3 or labels.shape != maps.shape[:1] or labels.is_floating_point():
        raise OverfocusError(
            f"maps {tuple(maps.shape)} and labels {labels.dtype} {tuple(labels.shape)} do not fit; "
            "give maps [N, h, w] and the class of each as integers [N]"
        )
    if correct is not None and correct.shape != labels.shape:
        raise OverfocusError(
            f"correct is of shape {tuple(correct.shape)}; give one bool an image, {tuple(labels.shape)}"
        )


def _significance(units: Tensor, index: Tensor, effect: Tensor, permutations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return z and the maxT p-value of each class's `effect` [K]: two [K], NaN where it is."""
    if not bool(effect.isfinite().any()):
        return torch.full_like(effect, nan), torch.full_like(effect, nan)
    source, drawn = np.random.Generator(np.random.Philox(seed)), []
    for _ in range(permutations):
        within, between = overlaps(units, index[torch.from_numpy(source.permutation(len(index)))], len(effect))
        drawn.append(within - between)
    null = torch.stack(drawn)
    # Maps that are all alike differ only by rounding, which is no spread.
    spread = null.std(dim=0)
    spread = spread.where(spread > 1e-9, torch.nan)
    z = (effect - null.mean(dim=0)) / spread
    largest = ((null - null.mean(dim=0)) / spread).nan_to_num(nan=-torch.inf).amax(dim=1)
    p = (1 + (largest[:, None] >= z).sum(dim=0)).double() / (1 + permutations)
    return z, p.where(z.isfinite(), torch.nan)


def _place(label: int, maps: Tensor, numbers: list[float], q: float, rule: ShortcutRule) -> Place:
    if len(maps) < FEWEST:
        return Place(label, len(maps), note=f"fewer than {FEWEST} images with a place")
    within, between, z, p = numbers
    area = float(effective_area(maps).mean())
    box = _box(mass(maps).mean(dim=0).reshape(maps.shape[1:]), q)
    height, width = maps.shape[1:]
    share = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    flagged = within - between >= rule.effect and p <= rule.level and area <= rule.area
    note = "no images of other classes, or all maps alike" if isnan(z) else ""
    return Place(label, len(maps), within, between, z, p, area, box, share, flagged, note)


def _box(mean: Tensor, q: float) -> tuple[int, int, int, int]:
    """Return the box around the top area of `mean` [h, w], without positions below half of its peak."""
    strong = (top_area(mean[None], q)[0].nan_to_num(1.0) > 0).reshape(mean.shape) & (mean >= mean.max() / 2)
    y, x = strong.nonzero().unbind(1)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
