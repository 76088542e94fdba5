"""Sets of labelled images as values: splits, and the set that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.groups import ImageGroups
from overfocus.data.images import Images, Masks, PickedMasks
from overfocus.data.inventory import Inventory


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels and, where known, boxes and masks of their objects."""

    images: Images
    labels: Tensor
    """[N] int64; or [N, K] bool, where an image may have several labels, or none."""
    classes: tuple[str, ...]
    boxes: Sequence[Tensor] | None = None
    """For each image [n, 4] int64 (x0, y0, x1, y1) in its pixels, x1 and y1 excluded; n may be 0."""
    masks: Mapping[str, Masks] = field(default_factory=dict)
    """Name of a part -> bool [H, W] for each image."""
    cues: Mapping[str, Tensor] = field(default_factory=dict)
    """Where parts name different classes: name of a part -> the class that it names, [N] int64, no two the same."""
    groups: ImageGroups | None = None
    """What images have in common besides their class, where that is known."""

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise OverfocusError(
                f"split: {len(self.images)} images and {len(self.labels)} labels; give one label for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none, instead of one class."""
        return self.labels.ndim == 2

    def one_class(self, what: str) -> Split:
        """Return the split; OverfocusError where images have several labels, `what` being for one class of each."""
        if self.multi_label:
            raise OverfocusError(
                f"{what} is for images with one class each, and these have several labels (data.labels = 'multi'); "
                "train, evaluate, predict, explain and export take those"
            )
        return self

    def subset(self, indices: Tensor | Sequence[int]) -> Split:
        """Return the images at `indices` [n] with all that belongs to them, in that order."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return Split(
            self.images.pick(rows),
            self.labels[rows],
            self.classes,
            None if self.boxes is None else [self.boxes[row] for row in rows.tolist()],
            {
                name: masks[rows] if isinstance(masks, Tensor) else PickedMasks(masks, rows)
                for name, masks in self.masks.items()
            },
            {name: classes[rows] for name, classes in self.cues.items()},
            None if self.groups is None else self.groups.pick(rows),
        )

    def relabelled(self, classes: tuple[str, ...], places: Sequence[int]) -> Split:
        """Return the split with the labels that its classes have in `classes`, which may be more: `places` [K]."""
        if not self.multi_label:
            return replace(self, labels=torch.tensor(places, dtype=torch.int64)[self.labels], classes=classes)
        labels = torch.zeros(len(self), len(classes), dtype=torch.bool)
        labels[:, list(places)] = self.labels
        return replace(self, labels=labels, classes=classes)

    def counts(self) -> Tensor:
        """Return how many images each class, or label, has: [K] int64."""
        if self.multi_label:
            return self.labels.sum(dim=0)
        return torch.bincount(self.labels, minlength=len(self.classes))


class Splits(dict[str, Split]):
    """Name -> split, `train` first. Where no split is called `test`, asking for it gives the first to evaluate on."""

    def __missing__(self, name: str) -> Split:
        known = [other for other in self if other not in ("train", "val")]
        if name == "test" and known:
            return self[known[0]]
        raise UnknownName("split", name, self)


@dataclass(frozen=True, eq=False)
class Dataset:
    """What is trained and evaluated on."""

    name: str
    splits: Mapping[str, Split]
    """`train` first, then what to evaluate on; `val`, where some of train was held out, last."""
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Of each channel over the training images, in [0, 1]."""
    std: tuple[float, ...]
    """Of each channel over the pixels of the training images, in units of the mean."""
    note: str = ""
    """What matters for its figures: licence, lossy copies, holdouts, what is left out."""
    preprocess: Preprocess = DEFAULT
    """How its stored images are read and fitted; mean and std stand above."""
    inventory: Inventory = Inventory()  # noqa: RUF009 - frozen
    """Where the splits were read from, and what was not used; in words it is part of the note."""
    tables: tuple[Path, ...] = ()
    """The files whose rows name its images and their labels, where these are read from tables."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", Splits(self.splits))

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return any(split.multi_label for split in self.splits.values())

    def with_splits(self, change: Callable[[Split], Split]) -> Dataset:
        """Return the same set with `change(split)` in place of every split."""
        return replace(self, splits={name: change(split) for name, split in self.splits.items()})

    def noting(self, *sentences: str) -> Dataset:
        """Return the same set with more to its note."""
        return replace(self, note=" ".join(filter(None, (self.note, *sentences))))

    def fingerprint(self) -> str:
        """Return the SHA-256 of labels and image stamps of all splits: pixels in memory, path and length of files."""
        digest = sha256("\0".join(self.classes).encode())
        for name, split in self.splits.items():
            digest.update(f"{name}\0{len(split)}\0".encode())
            digest.update(split.labels.numpy().tobytes())
            for index in range(len(split)):
                digest.update(split.images.stamp(index))
        return digest.hexdigest()
