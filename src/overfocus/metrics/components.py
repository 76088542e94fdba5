"""The components of a picture at every threshold at once: a merge tree, not a labelling per threshold.

Raising a threshold, the parts of an image that lie above it shrink and split. Read downwards, every part begins at one
peak and ends where it meets a part with a higher peak. This tree is found once: rows are cut into pieces that rise and
then fall, a piece belongs to the peak that it can climb to, and neighbouring peaks meet at the highest pass between
them, in the order of Kruskal's maximum spanning tree (Salembier et al. 1998 call it a max-tree). What a part measures
at every level, such as its extent, is then a running maximum or sum along the values of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
VALUES = 256
_PART = 2**13


@dataclass(frozen=True)
class Round:
    """The components of the nodes at one depth, which are joined once those of all deeper ones are."""

    rows: slice
    starts: Ints
    """[n]: where the rows of each node begin, counted from the first of these."""
    lowest: Ints
    """[n]: the row of each node's lowest component."""
    wholes: Ints
    """[n]: the row of the component that this one is a part of, one level further down."""


@dataclass(frozen=True)
class Forest:
    """The connected components of {values >= level} for every level in 1..255, R of them.

    A component goes by the node of its highest peak. A node is a component of its own from the level of its peak down
    to where it meets a higher one, and below a part of that. The rows of a node are its own components from its peak
    downwards; nodes stand with the deepest in the tree first, and that of the first of the highest pixels is the last.
    """

    values: Ints
    """[N] uint8: the pixels, row by row."""
    cells: Ints
    """[N] int32, or int64 where that is too small: node * 256 + value, of the peak that each pixel climbs to and of the
    pixel."""
    rows: Ints
    """[M * 256] int64: the component at node * 256 + level, for levels up to the peak; R at level 0."""
    nodes: Ints
    """[R] int64."""
    levels: Ints
    """[R] int64."""
    rounds: list[Round]
    tops: tuple[Ints, Ints]
    """Pixels [P] of which every run of a component along a row has one, and [Q] for runs along a column."""

    def at(self, pixels: Ints, levels: Ints) -> Ints:
        """Return the component that each of `pixels` [n] is in at `levels` [n], no higher than its value."""
        return self.rows[self.cells[pixels] - self.values[pixels] + levels]

    def extremes(self, pixels: list[Ints], amounts: list[Ints]) -> Ints:
        """Return the maximum of each of A amounts over every component: [A, R] int64.

        Amount a is amounts[a] at pixels[a], both [P], at least 0 and below N.
        """
        # A node's numbers are above those of the node before, so that one running maximum serves all of a round.
        base = np.append(self.nodes, 0) * len(self.values)
        table = np.tile(base, (len(amounts), 1))
        for each, amount, own in zip(pixels, amounts, table, strict=True):
            rows = self.rows[self.cells[each]]
            np.maximum.at(own, rows, base[rows] + amount)
        for each in self.rounds:
            part = table[:, each.rows]
            np.maximum.accumulate(part, axis=1, out=part)
            found = table[:, each.lowest] + (base[each.wholes] - base[each.lowest])
            for own, amount in zip(table, found, strict=True):
                np.maximum.at(own, each.wholes, amount)
        return (table - base)[:, :-1]

    def total(self, amount: Ints) -> Ints:
        """Return the sum of `amount` [N] over every component: [R] float64."""
        sums = np.zeros(len(self.rows))
        # In parts that stay in the cache: what is added is eight bytes wide, and so is where it goes.
        for first in range(0, len(amount), _PART):
            part = slice(first, first + _PART)
            np.add.at(sums, self.cells[part].astype(np.int64), amount[part].astype(np.float64))
        found = np.flatnonzero(sums)
        table = np.bincount(self.rows[found], weights=sums[found], minlength=len(self.nodes) + 1)
        for each in self.rounds:
            part = table[each.rows]
            # What a node takes off at its start is what the sum has reached with the one before.
            part[each.starts[1:]] -= np.add.reduceat(part, each.starts)[:-1]
            np.cumsum(part, out=part)
            np.add.at(table, each.wholes, table[each.lowest])
        return table[:-1]


def forest(values: Ints, *, diagonal: bool) -> Forest:
    """Return the components of `values` [H, W] uint8 at every level; `diagonal` neighbours are connected or not.

    The outermost rows and columns must all have the same value and, unless it is 0, belong together: rows are read one
    after another without looking for their ends.
    """
    width, flat = values.shape[1], values.ravel()
    steps = [1, width, width - 1, width + 1] if diagonal else [1, width]
    starts, tops = _pieces(flat)
    lengths = np.diff(starts, append=len(flat))
    nodes, peaks = _climbed(flat, starts, tops, np.array([*steps, *(-step for step in steps)]))
    floor, parent = _merged(_ranks(flat, peaks), *_passes(flat, nodes.repeat(lengths), steps, len(peaks)))
    # Of the nodes, some are never a component of their own: on a plateau there are several, by place alone. What takes
    # in a real node is real: it is no lower, and was there before the pass between them.
    real = floor < flat[peaks]
    owner = _ends(np.where(real, np.arange(len(peaks)), parent))
    depth = np.where(real, _depth(parent), -1)
    order = depth.argsort(kind="stable")[::-1][: real.sum()]
    number = np.zeros(len(peaks), np.int64)
    number[order] = np.arange(len(order))
    kind = np.int32 if len(order) * VALUES < 2**31 else np.int64
    cells = (number[owner[nodes]] * VALUES).astype(kind).repeat(lengths)
    cells += flat
    peak = flat[peaks[order]].astype(np.int64)
    rows, of, levels, rounds = _rows(peak, floor[order], number[parent[order]], depth[order])
    return Forest(flat, cells, rows, of, levels, rounds, (tops, _column_tops(values)))


def _column_tops(values: Ints) -> Ints:
    """Return the first of the highest pixels of each piece of the columns of `values` [H, W]: [Q]."""
    column, row = np.divmod(_pieces(values.T.ravel())[1], len(values))
    return row * values.shape[1] + column


def _depth(parent: Ints) -> Ints:
    """Return how many nodes there are above each: [M]."""
    node, depth = parent, np.zeros(len(parent), np.int64)
    while (above := parent[node] != node).any():
        node, depth = parent[node], depth + above
    return depth + (parent != np.arange(len(parent)))


def _rows(peak: Ints, floor: Ints, parent: Ints, depth: Ints) -> tuple[Ints, Ints, Ints, list[Round]]:
    """Lay out the components of the nodes: return `rows`, `nodes`, `levels` and `rounds` of the forest."""
    counts = peak - floor
    starts, every = counts.cumsum() - counts, np.arange(VALUES)
    nodes = np.arange(len(counts)).repeat(counts)
    rows = (starts + peak)[:, None] - every
    rows[:, 0] = len(nodes)
    rounds = []
    cuts = [*np.flatnonzero(np.diff(depth, prepend=-1)), len(depth)]
    for first, last in reversed(list(pairwise(cuts))):
        part = slice(first, last)
        rows[part] = np.where(every > floor[part, None], rows[part], rows[parent[part]])
        lowest = starts[part] + counts[part] - 1
        begin = starts[first]
        rounds.append(
            Round(slice(begin, lowest[-1] + 1), starts[part] - begin, lowest, rows[parent[part], floor[part]])
        )
    if not len(rows):
        rows = np.zeros(VALUES, np.int64)  # all is 0, and every pixel is in nothing
    return rows.ravel(), nodes, (starts + peak)[nodes] - np.arange(len(nodes)), rounds[::-1]


def _pieces(flat: Ints) -> tuple[Ints, Ints]:
    """Cut `flat` [N] where it rises after it fell, so that what is above any level is one run of its piece: return the
    first pixel of each piece and the first of its highest ones, [P] each.
    """
    rises = flat[1:] > flat[:-1]
    turns = np.flatnonzero(rises[1:] != rises[:-1])
    # The frame does not rise, so that they take turns: a rise begins, it ends.
    starts, tops = np.append(0, turns[::2] + 2), np.append(0, turns[1::2] + 1)
    fell = flat[starts[1:] - 1] < flat[tops[:-1]]
    return starts[np.append(True, fell)], tops[np.append(fell, True)]


def _ranks(flat: Ints, pixels: Ints) -> Ints:
    """Return a number for each of `pixels` that is higher for a higher value and, of equal ones, for the first."""
    return flat[pixels].astype(np.int64) * flat.size - pixels


def _climbed(flat: Ints, starts: Ints, tops: Ints, steps: Ints) -> tuple[Ints, Ints]:
    """Return the node of each piece [P] int32, and the peak of each node [M], a pixel: from the top of a piece the way
    goes on to the highest neighbour.
    """
    around = np.clip(tops + steps[:, None], 0, len(flat) - 1)
    rank = _ranks(flat, around).max(axis=0)
    higher = np.searchsorted(starts, -rank % flat.size, side="right") - 1
    upward = _ends(np.where(rank > _ranks(flat, tops), higher, np.arange(len(starts))))
    ends = np.flatnonzero(upward == np.arange(len(starts)))
    return np.searchsorted(ends, upward).astype(np.int32), tops[ends]


def _ends(follower: Ints) -> Ints:
    """Return where each way of `follower` [P] ends."""
    while (further := follower[follower]).tobytes() != follower.tobytes():
        follower = further
    return follower


def _passes(flat: Ints, nodes: Ints, steps: list[int], count: int) -> tuple[Ints, Ints, Ints]:
    """Return the highest pass between any two neighbouring nodes as (node, node, level), the highest first."""
    keys = []
    for step in steps:
        apart = nodes[:-step] != nodes[step:]
        level = np.minimum(flat[:-step], flat[step:])
        if step > 1:
            # A pass beside a higher one in the row is none: the way along the row and over that one is no lower.
            rises = level[1:] > level[:-1]
            apart[1:] &= rises
            apart[:-1] &= ~rises
        here = np.flatnonzero(apart)
        one, other = nodes[here].astype(np.int64), nodes[here + step]
        keys.append((np.minimum(one, other) * count + np.maximum(one, other)) * VALUES + level[here])
    key = np.sort(np.concatenate(keys))
    key = key[(np.diff(key // VALUES, append=-1) != 0) & (key % VALUES > 0)]
    pair, level = np.divmod(key, VALUES)
    order = np.argsort(VALUES - level, kind="stable")
    return pair[order] // count, pair[order] % count, level[order]


def _merged(ranks: Ints, one: Ints, other: Ints, levels: Ints) -> tuple[Ints, Ints]:
    """Join nodes over their passes: return floor [M] and parent [M]. The lower peak is the one taken in."""
    rank, joined = ranks.tolist(), list(range(len(ranks)))
    floor, parent = [0] * len(rank), list(range(len(rank)))

    def top(node: int) -> int:
        while joined[node] != node:
            joined[node] = node = joined[joined[node]]
        return node

    for left, right, level in zip(one.tolist(), other.tolist(), levels.tolist(), strict=True):
        gone, kept = top(left), top(right)
        if rank[gone] > rank[kept]:
            gone, kept = kept, gone
        if gone != kept:
            joined[gone] = parent[gone] = kept
            floor[gone] = level
    return np.array(floor), np.array(parent)
