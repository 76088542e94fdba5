"""Parts of a split: seeded, balanced over the classes, and nested, so that 50 of each class contain the 25."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.split import Dataset, Split

FEWEST = 10
"""Training images of the smallest class below which none are held out to judge a fine-tuned network by."""
HELD_OUT = 0.1
"""Share of each class that is held out for that."""


def few(split: Split, seed: int, per_class: int | None = None, fraction: float | None = None) -> Split:
    """Return `per_class` images of each class, or the `fraction` of each (at least one), in the order of `split`."""
    if per_class is not None and fraction is not None:
        raise OverfocusError(f"subset: both per_class={per_class} and fraction={fraction} are given; give one")
    counts = split.counts()
    if per_class is not None:
        split.one_class("per_class")
        return split.subset(_first(split, _checked(split, per_class), Key.seeded(seed).fold_in("few")))
    if fraction is None:
        return split
    if not 0 < fraction <= 1:
        raise OverfocusError(f"subset: fraction={fraction}; give more than 0 and at most 1")
    if split.multi_label:
        some = Key.seeded(seed).fold_in("few").order(len(split))[: max(1, round(fraction * len(split)))]
        return split.subset(some.sort().values)
    return split.subset(_first(split, _part(counts, fraction), Key.seeded(seed).fold_in("few")))


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Return `split` without a `share` of each class, and that share; a class of one image stays where it is."""
    if not 0 < share < 1:
        raise OverfocusError(f"holdout: share {share}; give more than 0 and less than 1")
    counts, key = split.counts(), Key.seeded(seed).fold_in("holdout")
    wanted = _part(counts, share).minimum((counts - 1).clamp(min=0))
    held = by_label(split.labels, wanted, share, key) if split.multi_label else _first(split, wanted, key)
    rest = torch.ones(len(split), dtype=torch.bool)
    rest[held] = False
    return split.subset(rest.nonzero()[:, 0]), split.subset(held)


def by_label(labels: Tensor, wanted: Tensor, share: float, key: Key) -> Tensor:
    """Return rows of `labels` [N, K] bool, ascending, of which about `wanted` [K] have each label, and `share` none.

    From the rarest label to the most frequent one, the images that have it and are not decided on yet are chosen up to
    the number wanted, and the others are left: iterative stratification (Sechidis et al., ECML 2011) in one pass.
    """
    order = key.order(len(labels))
    chosen, open_ = torch.zeros(len(labels), dtype=torch.bool), torch.ones(len(labels), dtype=torch.bool)
    for label in labels.sum(dim=0).argsort(stable=True).tolist():
        mine = order[(labels[:, label] & open_)[order]]
        missing = int(wanted[label]) - int((labels[:, label] & chosen).sum())
        chosen[mine[: max(0, missing)]] = True
        open_[mine] = False
    rest = order[open_[order]]
    chosen[rest[: round(share * len(rest))]] = True
    return chosen.nonzero()[:, 0]


def held_out(dataset: Dataset, seed: int) -> Dataset:
    """Return `dataset` with a split `val`, `HELD_OUT` of each training class, unless it has one, or a class has fewer
    than `FEWEST` images; a note says so.
    """
    train = dataset.splits["train"]
    if "val" in dataset.splits or int(train.counts().min()) < FEWEST:
        return dataset
    rest, val = hold_out(train, HELD_OUT, seed)
    note = (
        f"{len(val)} of the {len(train)} training images are held out to judge the fine-tuned network by; data.val "
        "gives another share."
    )
    return replace(dataset, splits={**dataset.splits, "train": rest, "val": val}).noting(note)


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return `count` rows of `labels` [N], ascending: random images of each class in turn; nested in `count`.

    Where images have several labels, [N, K], they are random images.
    """
    if count >= len(labels):
        return torch.arange(len(labels))
    order = Key.seeded(seed).fold_in("sample").order(len(labels))
    if labels.ndim == 2:
        return order[:count].sort().values
    grouped = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels)
    turn = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[grouped]]
    return grouped[turn.argsort(stable=True)[:count]].sort().values


def _part(counts: Tensor, share: float) -> Tensor:
    """Return the `share` of each count, rounded, at least 1 where there is any: [K] int64."""
    return (counts * share).round().long().clamp(min=1).minimum(counts)


def _checked(split: Split, per_class: int) -> Tensor:
    counts = split.counts()
    smallest = int(counts.argmin())
    if not 1 <= per_class <= counts[smallest]:
        raise OverfocusError(
            f"subset: per_class={per_class}, but the smallest class, {split.classes[smallest]!r}, has "
            f"{int(counts[smallest])} training images; give 1 to {int(counts[smallest])}, or a fraction"
        )
    return torch.full_like(counts, per_class)


def _first(split: Split, wanted: Tensor, key: Key) -> Tensor:
    """Return the first `wanted` [K] images of each class in one random order: rows, ascending."""
    order = key.order(len(split))
    labels = split.labels[order]
    by_class = labels.argsort(stable=True)
    counts = split.counts()
    place = torch.arange(len(split)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return order[by_class[place < wanted[labels[by_class]]]].sort().values
