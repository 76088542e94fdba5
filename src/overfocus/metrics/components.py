"""The components of a picture at every threshold at once: a merge tree, not a labelling per threshold.

Raising a threshold, the parts of an image that lie above it shrink and split. Read downwards, every part begins at one
peak and ends where it meets a part with a higher peak. This tree is found once: rows are cut into pieces that rise and
then fall, a piece belongs to the peak that it can climb to, and neighbouring peaks meet at the highest pass between
them, in the order of Kruskal's maximum spanning tree (Salembier et al. 1998 call it a max-tree). What a part measures
at every level, such as its extent, is then a running maximum or sum along the values of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
VALUES = 256
_NEVER = -(2**31) + 1


@dataclass(frozen=True)
class Forest:
    """The connected components of {values >= level} for every level in 1..255.

    A component goes by the node of its highest peak. Node n is a component of its own at the levels floor[n] < level <=
    peak[n]; below, it is a part of parent[n].
    """

    values: Ints
    """[N] uint8: the pixels, row by row."""
    nodes: Ints
    """[N] int32: the peak that each pixel climbs to."""
    peak: Ints
    """[M] int64."""
    floor: Ints
    """[M] int64."""
    parent: Ints
    """[M] int64."""
    merges: list[tuple[int, int, int]]
    """(node, the one that it takes in, level), from the highest level down."""

    def at(self, pixels: Ints, levels: Ints) -> Ints:
        """Return the node of the component that `pixels` [R] are in at `levels` [R], where they reach those levels."""
        nodes = self.nodes[pixels]
        while (absorbed := levels <= self.floor[nodes]).any():
            nodes = np.where(absorbed, self.parent[nodes], nodes)
        return nodes

    def alive(self) -> tuple[Ints, Ints]:
        """Return every component as (level, node), [R] each, levels ascending."""
        levels = np.arange(1, VALUES)[:, None]
        found = np.nonzero((levels > self.floor) & (levels <= self.peak))
        return found[0] + 1, found[1]

    def extremes(self, pixels: list[Ints], amounts: list[Ints]) -> Ints:
        """Return the maximum of each of A amounts over every component: [M, A, 256] int32 by node and level.

        Amount a is amounts[a] at pixels[a], both [P]; leave out pixels whose neighbour has no less value and amount.
        """
        table = np.full((len(self.peak), len(amounts), VALUES), _NEVER, np.int32)
        for number, (each, amount) in enumerate(zip(pixels, amounts, strict=True)):
            place = (self.nodes[each].astype(np.int64) * len(amounts) + number) * VALUES + self.values[each]
            np.maximum.at(table.reshape(-1), place, amount.astype(np.int32))
        return self._gathered(table, np.maximum)

    def total(self, amount: Ints) -> Ints:
        """Return the sum of `amount` [N] over every component: [M, 256] int64 by node and level."""
        place = self.nodes.astype(np.int64) * VALUES + self.values
        table = np.bincount(place, weights=amount, minlength=len(self.peak) * VALUES).astype(np.int64)
        return self._gathered(table.reshape(-1, VALUES), np.add)

    def _gathered(self, table: Ints, combine: np.ufunc) -> Ints:
        """Carry `table` [M, ..., 256] from values to all at or above a level, and from parts to wholes."""
        backwards = table[..., ::-1]
        combine.accumulate(backwards, axis=-1, out=backwards)
        for kept, gone, level in self.merges:
            whole = table[kept, ..., : level + 1]
            combine(whole, table[gone, ..., : level + 1], out=whole)
        return table


def forest(values: Ints, *, diagonal: bool) -> Forest:
    """Return the components of `values` [H, W] uint8 at every level; `diagonal` neighbours are connected or not.

    The outermost rows and columns must all have the same value and, unless it is 0, belong together: rows are read one
    after another without looking for their ends.
    """
    width, flat = values.shape[1], values.ravel()
    steps = [1, width, width - 1, width + 1] if diagonal else [1, width]
    shift = flat.size.bit_length()
    kind = np.int32 if shift + 8 < 32 else np.int64
    ranked = flat.astype(kind) << shift | np.arange(flat.size, dtype=kind)
    nodes, peaks = _climbed(flat, ranked, np.array([*steps, *(-step for step in steps)]), (1 << shift) - 1)
    floor, parent, merges = _merged(peaks, *_passes(flat, nodes, steps, len(peaks)))
    return _pruned(Forest(flat, nodes, peaks >> shift, floor, parent, merges))


def _climbed(flat: Ints, ranked: Ints, steps: Ints, mask: int) -> tuple[Ints, Ints]:
    """Return the node of each pixel [N], and the rank (value, then place) of each node's peak [M].

    A piece starts where the values begin to rise, so that it rises, then falls: what is above any level is in one run.
    """
    rises = flat[1:] > flat[:-1]
    starts = np.flatnonzero(np.concatenate(([True], rises[:1], rises[1:] & ~rises[:-1])))
    tops = np.maximum.reduceat(ranked, starts)
    around = ranked[np.clip((tops & mask) + steps[:, None], 0, len(flat) - 1)].max(axis=0)
    higher = np.searchsorted(starts, around & mask, side="right") - 1
    upward = np.where(around > tops, higher, np.arange(len(starts)))
    while (further := upward[upward]).tobytes() != upward.tobytes():
        upward = further
    peaks = np.flatnonzero(upward == np.arange(len(starts)))
    nodes = np.searchsorted(peaks, upward).astype(np.int32)
    return np.repeat(nodes, np.diff(starts, append=len(flat))), tops[peaks].astype(np.int64)


def _passes(flat: Ints, nodes: Ints, steps: list[int], count: int) -> tuple[Ints, Ints, Ints]:
    """Return the highest pass between any two neighbouring nodes as (node, node, level), the highest first."""
    keys = []
    for step in steps:
        here = np.flatnonzero(nodes[:-step] != nodes[step:])
        one, other = nodes[here].astype(np.int64), nodes[here + step]
        level = np.minimum(flat[here], flat[here + step])
        keys.append(((np.minimum(one, other) * count + np.maximum(one, other)) * VALUES + level)[level > 0])
    key = np.sort(np.concatenate(keys))
    pair, level = np.divmod(key[np.diff(key // VALUES, append=-1) != 0], VALUES)
    order = np.argsort(-level, kind="stable")
    return pair[order] // count, pair[order] % count, level[order]


def _merged(peaks: Ints, one: Ints, other: Ints, levels: Ints) -> tuple[Ints, Ints, list[tuple[int, int, int]]]:
    """Join nodes over their passes: return floor [M], parent [M] and the merges. The lower peak is the one taken in."""
    rank, joined = peaks.tolist(), list(range(len(peaks)))
    floor, parent, merges = np.zeros(len(peaks), np.int64), np.arange(len(peaks)), []

    def top(node: int) -> int:
        while joined[node] != node:
            joined[node] = node = joined[joined[node]]
        return node

    for left, right, level in zip(one.tolist(), other.tolist(), levels.tolist(), strict=True):
        gone, kept = sorted((top(left), top(right)), key=rank.__getitem__)
        if gone != kept:
            joined[gone] = parent[gone] = kept
            floor[gone] = level
            merges.append((kept, gone, level))
    return floor, parent, merges


def _pruned(trees: Forest) -> Forest:
    """Leave out the nodes that are never a component of their own: on a plateau there are several, by place alone."""
    real = trees.floor < trees.peak
    owner = np.where(real, np.arange(len(real)), trees.parent)
    while (further := owner[owner]).tobytes() != owner.tobytes():
        owner = further
    number = np.cumsum(real, dtype=np.int32) - 1
    # What takes in a real node is real: it is no lower, and was there before the pass between them.
    merges = [(int(number[kept]), int(number[gone]), level) for kept, gone, level in trees.merges if real[gone]]
    return Forest(
        trees.values, number[owner][trees.nodes], trees.peak[real], trees.floor[real], number[trees.parent[real]],
        merges,
    )  # fmt: skip
