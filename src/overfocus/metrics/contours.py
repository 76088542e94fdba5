"""The boxes around the contours of a map at all thresholds: what weakly supervised localization is evaluated by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overfocus.core.errors import OverfocusError
from overfocus.metrics.components import Forest, Ints, forest

LEVELS = 255
"""Thresholds that an 8-bit map distinguishes: {map > t} for t in 0..254."""

_PIXELS, _MAPS = 2**19, 256
"""Pixels and maps of one picture at most: more is no faster, and 16 bits number so many maps by threshold."""
_PLACES = 31
"""Bits for the place of a pixel."""


@dataclass(frozen=True)
class LevelBoxes:
    """The boxes around all contours of {map > t} for t in 0..254."""

    thresholds: Ints
    """[R] int64, ascending; every threshold occurs."""
    boxes: Ints
    """[R, 4] int64 (x0, y0, x1, y1): x1, y1 are one past the last pixel, but never more than W - 1, H - 1."""
    largest: Ints
    """[255] int64: the row of the contour with the largest area at each threshold."""


def boxes_at_thresholds(map8: NDArray[np.uint8]) -> LevelBoxes:
    """Return the boxes around the contours of {map8 > t}, `map8` [H, W] uint8, for all t in 0..254.

    They are those of OpenCV's findContours(RETR_TREE) and boundingRect, as the reference of Choe et al. (2001.07437)
    uses them: parts are connected over corners, holes have contours too, ends are clipped to W - 1 and H - 1, and a
    level without any pixel has the one box (0, 0, 0, 0). The largest contour is that of the largest contourArea (of the
    polygon through the centres of the border's pixels); of equal ones the one whose first pixel comes last.
    """
    if map8.ndim != 2 or map8.dtype != np.uint8 or not map8.size:
        raise OverfocusError(f"boxes: a map of {map8.dtype} and shape {map8.shape}; give [H, W] uint8 with pixels")
    return next(boxes_of_maps(map8[None]))


def boxes_of_maps(maps8: NDArray[np.uint8]) -> Iterator[LevelBoxes]:
    """Yield the same of each of `maps8` [B, H, W] uint8; several at once are faster than one after another."""
    some = max(1, min(_PIXELS // max(1, maps8[:1].size), _MAPS))
    for first in range(0, len(maps8), some):
        yield from _boxes(maps8[first : first + some])


def _boxes(maps8: NDArray[np.uint8]) -> list[LevelBoxes]:
    """Do so in one picture, in which the maps stand below one another, each in a frame."""
    _, height, width = maps8.shape
    padded = np.pad(maps8, ((0, 0), (1, 1), (1, 1))).reshape(-1, width + 2)
    parts = forest(padded, diagonal=True)
    # A hole is a part of the complement that does not hold the frame, and corners do not connect it.
    gaps = forest(~padded, diagonal=False)
    size = height + 2, width + 2
    solid, holes = _contours(parts, size), _contours(gaps, size, hole=True)
    parents = _parents(solid, holes, width + 2)
    largest = _largest(solid, _areas(_halves(padded), solid, holes, parents), len(maps8))
    return _joined(maps8.shape, solid, holes, largest)


@dataclass(frozen=True)
class _Contours:
    """The contours of one kind at all thresholds: the first R components of the trees."""

    trees: Forest
    thresholds: Ints
    """[R], in 0..254, plus 255 for each map before its own."""
    first: Ints
    """[R]: a pixel of the first run inside, row by row, in the picture."""
    boxes: Ints
    """[R, 4], in the map without its frame."""


def _contours(trees: Forest, size: tuple[int, int], hole: bool = False) -> _Contours:
    """Describe the components of `trees` in maps of `size` (H, W) with frame; where they are holes, all but that of the
    frame, whose node is the last.
    """
    height, width = size
    levels = trees.levels[: len(trees.levels) - LEVELS * hole]
    across, down = trees.tops
    end, column = len(trees.values) - 1, down % width
    reach = trees.extremes([across, across, down, down], [end - across, across, width - 1 - column, column])
    start, bottom, left, right = ([end], [0], [width - 1], [0]) + reach[:, : len(levels)] * [[-1], [1], [-1], [1]]
    maps, top = np.divmod(start // width, height)
    boxes = np.stack((left, top, right + 1, bottom // width - maps * height + 1), axis=1)
    # The frame shifts by one; the contour of a hole runs on the pixels around it, one further out.
    boxes -= [2, 2, 0, 0] if hole else 1
    return _Contours(trees, (LEVELS - levels if hole else levels - 1) + maps * LEVELS, start, boxes)


def _parents(solid: _Contours, holes: _Contours, width: int) -> Ints:
    """Return what each contour lies in, [R of solid + R of holes], numbered in this order; itself where in nothing.

    What is above the first row of a part is in the gap around it, and the other way round.
    """
    count, inside = len(solid.first), len(holes.first)
    around = holes.trees.at(solid.first - width, LEVELS - solid.thresholds % LEVELS)
    in_hole = np.where(around < inside, around + count, np.arange(count))
    return np.concatenate((in_hole, solid.trees.at(holes.first - width, holes.thresholds % LEVELS + 1)))


def _halves(padded: Ints) -> Ints:
    """Return how often each pixel [N] is the lowest or second lowest of four in a square: [N] uint8 in 0..4.

    Of the square between four centres, half belongs to the part that has the second lowest pixel and half to the one
    that has the lowest, as soon as they have them. In the complement it is the same two, from the other side.
    """
    width, flat = padded.shape[1], padded.ravel()
    steps = (1, width + 1, width, width - 1)
    # Of equal pixels the first is the lower one.
    below = {step: np.append(flat[:-step] <= flat[step:], np.zeros(step, bool)) for step in steps}
    below |= {-step: np.append(np.ones(step, bool), ~below[step][:-step]) for step in steps}
    count = np.zeros(flat.size, np.uint8)
    for one, corner, other in ((1, width + 1, width), (width, width - 1, -1), (-1, -width - 1, -width),
                               (-width, 1 - width, 1)):  # fmt: skip
        count += below[one] & below[other] | below[corner] & (below[one] | below[other])
    return count


def _areas(halves: Ints, solid: _Contours, holes: _Contours, parents: Ints) -> Ints:
    """Return twice the area within each solid contour, and all that lies inside it; 0 for those inside a hole."""
    own = [each.trees.total(halves)[: len(each.first)] for each in (solid, holes)]
    roots = parents
    while (higher := roots[roots]).tobytes() != roots.tobytes():
        roots = higher
    areas = np.bincount(roots, weights=np.concatenate(own), minlength=len(roots)).astype(np.int64)
    return areas[: len(solid.first)]


def _largest(solid: _Contours, areas: Ints, maps: int) -> Ints:
    """Return the row of the largest contour at each threshold [maps * 255], -1 where there is none; solid ones only, as
    no hole is larger.
    """
    key = areas << _PLACES | solid.first
    best = np.full(maps * LEVELS, -1)
    np.maximum.at(best, solid.thresholds, key)
    rows = np.flatnonzero(key == best[solid.thresholds])
    best[solid.thresholds[rows]] = rows
    return best


def _joined(shape: tuple[int, ...], solid: _Contours, holes: _Contours, largest: Ints) -> list[LevelBoxes]:
    """Put the contours in the order of maps and thresholds, and the empty box where there is none."""
    count, height, width = shape
    empty = np.flatnonzero(largest < 0)
    largest[empty] = len(solid.thresholds) + np.arange(len(empty))
    thresholds = np.concatenate((solid.thresholds, empty, holes.thresholds))
    boxes = np.concatenate((solid.boxes, np.zeros((len(empty), 4), np.int64), holes.boxes))
    order = np.argsort(thresholds.astype(np.uint16), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    thresholds, boxes = thresholds[order], np.minimum(boxes[order], [width, height, width - 1, height - 1])
    ends = np.searchsorted(thresholds, np.arange(count + 1) * LEVELS)
    chosen = place[largest].reshape(count, LEVELS) - ends[:-1, None]
    return [
        LevelBoxes(thresholds[start:end] % LEVELS, boxes[start:end], of)
        for start, end, of in zip(ends, ends[1:], chosen, strict=False)
    ]
