"""The fold of a seed: pictures that look the same are found first, so that none is trained and tested on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from overfocus.checks.survey import from_files, survey
from overfocus.data import Dataset
from overfocus.data.folds import Place, folded, pooled

_found: dict[str, list[list[Place]]] = {}
"""Fingerprint of a set -> its groups, of the set that was asked last: the runs of a study ask about the same one."""


def fold_of(dataset: Dataset, folds: int, seed: int) -> Dataset:
    """Return `dataset` with the fold of `seed` as its test pictures; see `data.folds.folded`."""
    return folded(dataset, folds, seed, same_pictures(dataset))


def same_pictures(dataset: Dataset) -> list[list[Place]]:
    """Return the groups of labelled pictures that look the same: nearly, of files (as `overfocus check` finds them),
    and exactly, of arrays. Every file is decoded once, small.
    """
    pool = replace(dataset, splits=pooled(dataset))
    key = pool.fingerprint()
    if key not in _found:
        _found.clear()
        _found[key] = _looked_up(pool)
    return _found[key]


def _looked_up(pool: Dataset) -> list[list[Place]]:
    if all(from_files(split.images) for split in pool.splits.values()):
        return [[(each.part, each.row) for each in group] for group in survey(pool).same]
    stamps: dict[bytes, list[Place]] = defaultdict(list)
    for name, split in pool.splits.items():
        for row in range(len(split)):
            stamps[split.images.stamp(row)].append((name, row))
    return [group for group in stamps.values() if len(group) > 1]
