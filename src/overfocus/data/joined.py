"""All parts of a set of images as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import torch
from torch import Tensor

from overfocus.core.preprocess import Preprocess, Size
from overfocus.data.groups import joined_groups
from overfocus.data.images import Header, Images, Masks, TensorImages
from overfocus.data.split import Dataset, Split

ALL, PARTS = "all", ("train", "test", "val")


@dataclass(frozen=True, eq=False)
class JoinedImages(Images):
    """The images of several rows, one row after the other."""

    parts: Sequence[Images]

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", self.parts[0].channels)

    @cached_property
    def ends(self) -> list[int]:
        """Where each part ends."""
        return list(accumulate(map(len, self.parts)))

    def at(self, index: int) -> tuple[Images, int]:
        """Return the part that has the image, and its position there."""
        part = bisect_right(self.ends, index)
        return self.parts[part], index - (self.ends[part - 1] if part else 0)

    def __len__(self) -> int:
        return self.ends[-1]

    def name(self, index: int) -> str:
        """Return the name that its part gives it."""
        images, row = self.at(index)
        return images.name(row)

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        images, row = self.at(index)
        return images.read(row)

    def read_for(self, index: int, to: Size | Preprocess) -> Tensor:
        """Return the image as its part does."""
        images, row = self.at(index)
        return images.read_for(row, to)

    def header(self, index: int) -> Header | None:
        """Return the header that its part gives it."""
        images, row = self.at(index)
        return images.header(row)

    def decoded_as(self, preprocess: Preprocess) -> Images:
        """Return the same with every part decoded so."""
        return JoinedImages([images.decoded_as(preprocess) for images in self.parts])

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels."""
        images, row = self.at(index)
        return images.size(row)

    def stamp(self, index: int) -> bytes:
        """Return the stamp that its part gives it."""
        images, row = self.at(index)
        return images.stamp(row)


@dataclass(frozen=True, eq=False)
class JoinedMasks:
    """The masks of several rows, one row after the other."""

    parts: Sequence[Masks]
    ends: Sequence[int]

    def __getitem__(self, index: int, /) -> Tensor:
        part = bisect_right(self.ends, index)
        return self.parts[part][index - (self.ends[part - 1] if part else 0)]


def joined(dataset: Dataset) -> Split:
    """Return the images for training, test and validation together, with their boxes, masks and groups where all have
    some.
    """
    splits = [dataset.splits[name] for name in PARTS if name in dataset.splits]
    images = [split.images for split in splits]
    ends = list(accumulate(map(len, splits)))
    in_memory = [each.pixels for each in images if isinstance(each, TensorImages)]
    together = (
        TensorImages(torch.cat(in_memory), dataset.name) if len(in_memory) == len(images) else JoinedImages(images)
    )
    boxes = [split.boxes for split in splits if split.boxes is not None]
    named = [name for name in splits[0].masks if all(name in split.masks for split in splits)]
    return Split(
        together, torch.cat([split.labels for split in splits]), dataset.classes,
        list(chain.from_iterable(boxes)) if len(boxes) == len(splits) else None,
        {name: JoinedMasks([split.masks[name] for split in splits], ends) for name in named},
        groups=joined_groups([split.groups for split in splits]),
    )  # fmt: skip


def looked_at(dataset: Dataset, name: str, count: int) -> str:
    """Return a sentence on which part of the set the split `name` is, of which `count` images were examined."""
    parts = [part for part in PARTS if part in dataset.splits]
    images = (
        f"{count:,} of {sum(len(dataset.splits[part]) for part in parts):,} images" if parts else f"{count:,} images"
    )
    if name == ALL and ALL not in dataset.splits:
        flatters = "; images that a network was trained on flatter it" if "train" in parts else ""
        return f"Looked at {images}: {' and '.join(parts)} together{flatters}."
    if name not in parts:
        return f"Looked at {count:,} images of the split {name}."
    if dataset.inventory.held_out and name == "test":
        share = f"{dataset.inventory.held_out:.0%} of each class that were held out"
        return f"Looked at {images}: the split test, the {share}; --split all looks at all."
    found = dataset.inventory.parts.get(name, name)
    return f"Looked at {images}: the split {name}{f' ({found})' if found != name else ''}."
