"""The boxes around the contours of a map at all thresholds: what weakly supervised localization is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overfocus.core.errors import OverfocusError
from overfocus.metrics.components import Forest, Ints, forest

LEVELS = 255
"""Thresholds that an 8-bit map can tell apart: {map > t} for t in 0..254."""


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
    padded = np.pad(map8, 1)
    parts = forest(padded, diagonal=True)
    # A hole is a part of the complement that does not hold the frame, and corners do not connect it.
    gaps = forest(~padded, diagonal=False)
    width, outside = padded.shape[1], int(gaps.nodes[-1])
    solid = _contours(parts, width)
    holes = _contours(gaps, width, outside)
    parents = _parents(solid, holes, width, outside)
    largest = _largest(solid, _areas(_halves(padded), solid, holes, parents))
    return _joined(map8.shape, solid, holes, largest)


@dataclass(frozen=True)
class _Contours:
    """The contours of one kind at all thresholds, R of them."""

    trees: Forest
    thresholds: Ints
    """[R], in 0..254."""
    nodes: Ints
    """[R]: the node that goes by them, and the level that the forest counts:"""
    levels: Ints
    first: Ints
    """[R]: the first pixel inside, row by row, in the padded map."""
    boxes: Ints
    """[R, 4], in the map without its frame."""

    def rows(self) -> Ints:
        """Return the row of each (node, threshold): [M, 255]; -1 where there is none."""
        table = np.full((len(self.trees.peak), LEVELS), -1)
        table[self.nodes, self.thresholds] = np.arange(len(self.nodes))
        return table


def _contours(trees: Forest, width: int, outside: int = -1) -> _Contours:
    """Describe the components of `trees`; with the node `outside`, they are holes, and that one is not among them."""
    hole = outside >= 0
    levels, nodes = trees.alive()
    levels, nodes = levels[nodes != outside], nodes[nodes != outside]
    above, aside = ((-width,), ()) if hole else ((-width, -width - 1, 1 - width), (-1 - width, width - 1))
    own = (trees.values > 0) & (trees.nodes != outside)
    first, last = _leading(trees, own, (-1, *above)), _leading(trees, own, (1, *(-step for step in above)))
    # In a column, of neighbours only the higher one counts, and of equal ones the upper one.
    own[:-width] &= trees.values[:-width] >= trees.values[width:]
    left = _leading(trees, own, (-1, *aside, -width))
    right = _leading(trees, own, (1, *(-step for step in aside), -width))
    amounts = [-first, last, -(left % width), right % width]
    reach = trees.extremes([first, last, left, right], amounts)[nodes, :, levels]
    start, end, left, right = (reach * [-1, 1, -1, 1]).T
    # The frame shifts by one; the contour of a hole runs on the pixels around it, one further out.
    out = int(hole)
    boxes = np.stack((left - out, start // width - out, right + 1 + out, end // width + 1 + out), axis=1) - 1
    return _Contours(trees, LEVELS - levels if hole else levels - 1, nodes, levels, start, boxes)


def _leading(trees: Forest, own: Ints, steps: tuple[int, ...]) -> Ints:
    """Return those of the pixels `own` [N] bool that are higher than their neighbours at all `steps`: [P]."""
    values, leading = trees.values, own.copy()
    for step in steps:
        if step < 0:
            leading[-step:] &= values[-step:] > values[:step]
        else:
            leading[:-step] &= values[:-step] > values[step:]
    return np.flatnonzero(leading)


def _parents(solid: _Contours, holes: _Contours, width: int, outside: int) -> Ints:
    """Return what each contour lies in, [R of solid + R of holes], numbered in this order; itself where in nothing.

    The pixel above the first one of a part is in the gap around it, and the other way round.
    """
    count = len(solid.nodes)
    if not len(holes.nodes):
        return np.arange(count)
    around = holes.trees.at(solid.first - width, LEVELS - solid.thresholds)
    in_hole = holes.rows()[around, solid.thresholds] + count
    in_part = solid.rows()[solid.trees.at(holes.first - width, holes.thresholds + 1), holes.thresholds]
    return np.concatenate((np.where(around == outside, np.arange(count), in_hole), in_part))


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
    own = [each.trees.total(halves)[each.nodes, each.levels] for each in (solid, holes) if len(each.nodes)]
    roots = parents
    while (higher := roots[roots]).tobytes() != roots.tobytes():
        roots = higher
    areas = np.bincount(roots, weights=np.concatenate([*own, []]), minlength=len(roots)).astype(np.int64)
    return areas[: len(solid.nodes)]


def _largest(solid: _Contours, areas: Ints) -> Ints:
    """Return the row of the largest contour of each threshold that has any; solid ones only, as no hole is larger."""
    order = np.lexsort((solid.first, areas, solid.thresholds))
    return order[np.diff(solid.thresholds[order], append=-1) != 0]


def _joined(size: tuple[int, ...], solid: _Contours, holes: _Contours, largest: Ints) -> LevelBoxes:
    """Put the contours in the order of thresholds, and the empty box where there is none."""
    empty = np.arange(len(largest), LEVELS)
    thresholds = np.concatenate((solid.thresholds, empty, holes.thresholds))
    boxes = np.concatenate((solid.boxes, np.zeros((len(empty), 4), np.int64), holes.boxes))
    boxes = np.minimum(boxes, [size[1], size[0], size[1] - 1, size[0] - 1])
    order = np.argsort(thresholds, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    chosen = np.concatenate((largest, len(solid.thresholds) + np.arange(len(empty))))
    return LevelBoxes(thresholds[order], boxes[order], place[chosen])
