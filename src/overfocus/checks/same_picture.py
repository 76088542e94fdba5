"""Which stored images show the same picture: equal bytes, or nearly equal pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from overfocus.checks.picture import Picture

BITS = 6
"""Of the 64 of two perceptual hashes, how many may differ."""
LEVELS = 6.0
"""Of 255, how much two small copies may differ on average; this tells apart pictures whose hashes happen to agree."""
CROWD = 500
"""Pictures that share a piece of their hash, above which only neighbours in the order of hashes are compared."""


def same_pictures(pictures: Sequence[Picture]) -> tuple[tuple[Picture, ...], ...]:
    """Return the groups of readable images that show the same picture, each of two at least, in their order."""
    parent = list(range(len(pictures)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for first, second in (*_equal_bytes(pictures), *_near(pictures)):
        parent[max(root(first), root(second))] = min(root(first), root(second))
    groups = defaultdict(list)
    for number, picture in enumerate(pictures):
        groups[root(number)].append(picture)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def exact(group: Sequence[Picture]) -> bool:
    """Say whether all files of a group have the same bytes."""
    return len({picture.digest for picture in group}) == 1


def _equal_bytes(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Yield pairs of equal files, each with the first of its kind."""
    first: dict[bytes, int] = {}
    for number, picture in enumerate(pictures):
        if (earlier := first.setdefault(picture.digest, number)) != number:
            yield earlier, number


def _near(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose hashes differ by at most BITS and whose small copies look alike.

    Two hashes that differ in at most BITS bits agree in one of BITS + 1 pieces at least, so only pictures that share a
    piece are compared. Pictures of one colour are left out, for their hashes say nothing.
    """
    rows = np.array([number for number, picture in enumerate(pictures) if not picture.flat], dtype=np.int64)
    if len(rows) < 2:
        return
    hashes = np.array([pictures[row].fingerprint for row in rows], dtype=np.uint64)
    small = np.stack([pictures[row].thumbnail for row in rows])
    edges = np.linspace(0, 64, BITS + 2).astype(int)
    for low, high in pairwise(edges):
        piece = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for group in _groups(piece):
            for first, second in _pairs(group, hashes):
                if np.abs(small[first].astype(int) - small[second]).mean() <= LEVELS:
                    yield int(rows[first]), int(rows[second])


def _groups(piece: np.ndarray) -> list[np.ndarray]:
    """Return the positions of equal values, of two at least."""
    order = piece.argsort(kind="stable")
    cuts = np.flatnonzero(np.diff(piece[order])) + 1
    return [group for group in np.split(order, cuts) if len(group) > 1]


def _pairs(group: np.ndarray, hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a group whose hashes differ by at most BITS."""
    if len(group) > CROWD:
        group = group[hashes[group].argsort(kind="stable")]
        yield from ((int(a), int(b)) for a, b in pairwise(group) if _differ(hashes[a], hashes[b]) <= BITS)
        return
    values = hashes[group]
    distance = _differ(values[:, None], values[None])
    yield from ((int(group[a]), int(group[b])) for a, b in np.argwhere(np.triu(distance <= BITS, k=1)))


def _differ(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return in how many bits hashes differ; numpy before 2.0 cannot count them itself."""
    return np.unpackbits((first ^ second)[..., None].view(np.uint8), axis=-1).sum(axis=-1)
