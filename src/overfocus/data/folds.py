"""Cross-validation: the labelled pictures of a set dealt out into folds, of which one is tested on.

Seed s is tested on fold s mod K of the split number s // K, so K seeds in a row are one whole cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.words import counted
from overfocus.data.decode import channel_statistics
from overfocus.data.finalize import check_trainable, held_note
from overfocus.data.joined import joined
from overfocus.data.split import Dataset, Split

Place = tuple[str, int]
"""A split, and the row of a picture in it."""


def pooled(dataset: Dataset) -> dict[str, Split]:
    """Return the splits that are dealt out: the training pictures, and the test pictures where those were held out of
    them. Test pictures that a set came with are left alone.
    """
    check_trainable(dataset)
    names = ("train", "test") if dataset.inventory.held_out else ("train",)
    return {name: dataset.splits[name] for name in names}


def folded(dataset: Dataset, folds: int, seed: int, same: Sequence[Sequence[Place]] = ()) -> Dataset:
    """Return `dataset` with the fold of `seed` as its test pictures and the other folds as its training pictures,
    whose mean and spread it is normalised by.

    Each class is dealt out evenly, in an order drawn from the number of the split. same: groups of pictures of
    `pooled` that show the same thing, which stay in one fold. Raises OverfocusError where a class has too few.
    """
    parts = pooled(dataset)
    pool = parts["train"] if len(parts) == 1 else joined(replace(dataset, splits=parts))
    starts = dict(zip(parts, (0, len(parts["train"])), strict=False))
    units = torch.arange(len(pool))
    for group in same:
        rows = [starts[name] + row for name, row in group]
        units[rows] = min(rows)
    number = fold_numbers(pool.labels, units, folds, Key.seeded(seed // folds).fold_in("folds"), pool.classes)
    test = number == seed % folds
    train = pool.subset((~test).nonzero()[:, 0])
    mean, std = channel_statistics(train.images)
    own = {name: split for name, split in dataset.splits.items() if name == "val"}
    splits = {"train": train, "test": pool.subset(test.nonzero()[:, 0]), **own}
    left = [name for name in dataset.splits if name not in (*parts, *own)]
    whole = replace(
        dataset, splits=splits, mean=mean, std=std, note=dataset.note.replace(held_note(), "").replace("  ", " "),
        inventory=replace(dataset.inventory, held_out=1 / folds),
    )  # fmt: skip
    return whole.noting(
        f"Cross-validation: fold {seed % folds} of {folds} of {counted(len(pool), 'picture')} is tested on, split "
        f"number {seed // folds}.",
        f"Pictures that look the same stay in one fold: {counted(len(same), 'group')}." if same else "",
        f"Left alone: {', '.join(left)}." if left else "",
    )


def fold_numbers(labels: Tensor, units: Tensor, folds: int, key: Key, classes: Sequence[str]) -> Tensor:
    """Return the fold of each picture, [N] int64 in [0, folds).

    labels: [N]. units: [N], equal for pictures that stay together. Units are dealt out in random order, larger ones
    first, each to the fold that has the fewest pictures of its class, and of those to the smallest.
    """
    order = key.order(len(labels))
    members: dict[int, list[int]] = {}
    for row in order.tolist():
        members.setdefault(int(units[row]), []).append(row)
    dealt = sorted(members.values(), key=len, reverse=True)
    _check(labels, dealt, folds, classes)
    of_class, total = torch.zeros(len(classes), folds, dtype=torch.int64).tolist(), [0] * folds
    number = torch.empty(len(labels), dtype=torch.int64)
    for rows in dealt:
        label = int(labels[rows[0]])
        fold = min(range(folds), key=lambda each: (of_class[label][each], total[each], each))
        number[rows] = fold
        for row in rows:
            of_class[int(labels[row])][fold] += 1
            total[fold] += 1
    return number


def _check(labels: Tensor, dealt: Sequence[Sequence[int]], folds: int, classes: Sequence[str]) -> None:
    """Refuse more folds than a class has pictures: one of them could not be tested on it."""
    counts = torch.bincount(torch.tensor([int(labels[rows[0]]) for rows in dealt]), minlength=len(classes))
    least = int(counts.argmin())
    if int(counts[least]) < folds:
        raise OverfocusError(
            f"folds = {folds}: class {classes[least]!r} has {counted(int(counts[least]), 'different picture')}; give "
            f"at most {max(2, int(counts[least]))} folds, or more pictures of it"
        )
