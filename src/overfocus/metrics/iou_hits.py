"""Which thresholds of a map give a box that meets the object's: the evidence of weakly supervised localization.

IoU is counted as the published protocol does (Choe et al., 2001.07437): both ends are taken as inside (a +1 in each
side), of boxes whose ends are one past the last pixel but at most W - 1 and H - 1. The object's boxes, given with
excluded ends, are clipped in the same way, so that a box which is met exactly has an IoU of 1. A hit is IoU >= the
bound, with any of an image's boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import nan, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overfocus.core.boxes import inside
from overfocus.metrics.contours import LEVELS, LevelBoxes

IOUS = (0.3, 0.5, 0.7)
SMALL = 1 / 3
"""Share of the picture under which an object is small: where it is large, the whole picture is a hit."""

Array = NDArray[Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Hits:
    """What was hit, on N images."""

    largest: Array
    """[N, 3, 32] uint8, 255 bits: whether the box of the largest contour is a hit, by IoU and threshold."""
    every: Array
    """[N, 3, 32] uint8, 255 bits: whether the box of any contour is."""
    baselines: Array
    """[N, 2, 3] bool: whether the centre box and the whole picture are, by IoU."""
    right: Array
    """[N] float64: 1 where the class was right, 0 where not, NaN where that is not known."""
    small: Array
    """[N] bool: whether the object's boxes together cover under a third of the picture."""
    answered: Array
    """[N] bool: whether the map could be scaled. One that could not hits nothing."""

    @staticmethod
    def joined(parts: Sequence[Hits]) -> Hits:
        """Put the images of `parts` behind one another."""
        each = [field.name for field in fields(Hits)]
        return Hits(**{name: np.concatenate([_NONE[name], *(getattr(part, name) for part in parts)]) for name in each})

    def take(self, rows: Array) -> Hits:
        """Return what the images `rows` hit, indices or bools."""
        return Hits(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def at(self, kind: str, bound: int) -> Array:
        """Return the hits of `kind` ("largest" or "every") at IoU number `bound`: [N, 255] bool by threshold."""
        return np.unpackbits(getattr(self, kind)[:, bound], axis=1, count=LEVELS).astype(bool)


_NONE = {
    "largest": np.zeros((0, len(IOUS), 32), np.uint8), "every": np.zeros((0, len(IOUS), 32), np.uint8),
    "baselines": np.zeros((0, 2, len(IOUS)), bool), "right": np.zeros(0), "small": np.zeros(0, bool),
    "answered": np.zeros(0, bool),
}  # fmt: skip


def scaled(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Bring each of `maps` [B, H, W] to [0, 1] float64 by its minimum and maximum; return that and which could be [B].

    A constant map, and one with a value that is not finite, cannot; it becomes 0 everywhere.
    """
    flat = maps.detach().double().flatten(1)
    above = flat - flat.amin(dim=1, keepdim=True)
    top = above.amax(dim=1, keepdim=True)
    usable = flat.isfinite().all(dim=1, keepdim=True) & (top > 0)
    return torch.where(usable, above / top, 0.0).reshape(maps.shape), usable[:, 0]


def with_area(boxes: Tensor, size: Size) -> Array:
    """Return those of `boxes` [n, 4] that have an area inside an image of `size` (H, W), clipped to it: [m, 4]."""
    height, width = size
    clipped = np.clip(boxes.detach().cpu().numpy().reshape(-1, 4), 0, [width, height, width, height])
    return clipped[(clipped[:, 2:] > clipped[:, :2]).all(axis=1)]


def overlap(found: Array, true: Array, size: Size) -> Array:
    """Return the IoU of boxes `found` [R, 4] with the best of `true` [n, 4], both (x0, y0, x1, y1) with excluded ends:
    [R] in [0, 1], as the head of this file says.
    """
    one, other = (np.minimum(boxes, _last(size)).astype(np.float64) for boxes in (found[:, None], true[None]))
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    shared = np.clip(high - low + 1, 0, None).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2] + 1).prod(axis=-1) for boxes in (one, other)]
    return (shared / (areas[0] + areas[1] - shared)).max(axis=1)


def hits(found: LevelBoxes | None, true: Array, size: Size, right: float = nan) -> Hits:
    """Return what the boxes of a map hit at every threshold, as the one image of the result; nothing if it is None."""
    reached = np.asarray(IOUS)[:, None]
    largest, every = np.zeros((2, 3, LEVELS), bool)
    if found is not None:
        iou = overlap(found.boxes, true, size)
        starts = np.flatnonzero(np.diff(found.thresholds, prepend=-1))
        largest, every = iou[found.largest] >= reached, np.maximum.reduceat(iou, starts) >= reached
    baselines = overlap(_baselines(size), true, size)[:, None] >= reached[:, 0]
    covered = inside(torch.from_numpy(true), size).any(dim=0).double().mean() < SMALL
    return Hits(
        np.packbits(largest, axis=1)[None], np.packbits(every, axis=1)[None], baselines[None], np.array([right]),
        np.array([bool(covered)]), np.array([found is not None]),
    )  # fmt: skip


def _baselines(size: Size) -> Array:
    """Return the centred box of half the area with the picture's sides, and the whole picture: [2, 4]."""
    height, width = size
    high, wide = max(1, round(height * sqrt(0.5))), max(1, round(width * sqrt(0.5)))
    top, left = (height - high) // 2, (width - wide) // 2
    return np.array([[left, top, left + wide, top + high], [0, 0, width, height]])


def _last(size: Size) -> list[int]:
    """Return what no end may exceed. Starts stay below it, but for a box in the last column or row alone."""
    height, width = size
    return [width - 1, height - 1, width - 1, height - 1]
