"""A shortcut that is planted on purpose: it names the class in training images, and another class in test images.

Photographers' marks, rulers, hospitals' labels and studio backgrounds often go with a class in the images at hand, but
not in new ones. Painted into the images of any set, such a cue makes it known what a network that relies on it would
predict: Geirhos et al., "Shortcut learning in deep neural networks" (2004.07780).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import cos, pi, sin
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.boxes import inside
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.images import Images, WrappedImages
from overfocus.data.split import Dataset, Split

Kind = Literal["watermark", "background"]
Where = Literal["border", "corners", "anywhere"]
SIDE = 1 / 7
"""Side of a watermark as a share of the image's shorter side: 4 of 28 pixels, 9 of 64."""


@dataclass(frozen=True)
class PlantedShortcut:
    """What is painted into images, and how often it agrees with the label.

    kind      `watermark`: a small checked square at the border, at another place for each class. `background`:
              stripes of another direction for each class, where no object is: outside the boxes or masks where the set
              has them, else on pixels that are black in all channels.
    strength  share of the training images with the shortcut of their own class, in [0, 1]; the others have that of
              another class, drawn at random. At 1/K for K classes it says nothing about the class.
    side      of a watermark, as a share of the image's shorter side.
    where     `border`: one pattern, at a place for each class. `corners`, and `anywhere`, a place drawn for each image:
              a pattern for each class.
    """

    kind: Kind = "watermark"
    strength: float = 1.0
    side: float = SIDE
    where: Where = "border"

    def __post_init__(self) -> None:
        if self.kind not in ("watermark", "background"):
            raise OverfocusError(f"shortcut: kind={self.kind!r}; give 'watermark' or 'background'")
        if not 0 <= self.strength <= 1:
            raise OverfocusError(f"shortcut: strength={self.strength!r} must be in [0, 1]")
        if not 0 < self.side <= 0.5:
            raise OverfocusError(f"shortcut: side={self.side!r} must be above 0 and at most 0.5")
        if self.where not in ("border", "corners", "anywhere"):
            raise OverfocusError(f"shortcut: where={self.where!r}; give 'border', 'corners' or 'anywhere'")

    def into(self, dataset: Dataset, seed: int) -> Dataset:
        """Return `dataset` with the shortcut in it.

        `train` and `val` have it at `strength`. In every other split no image bears that of its own class (broken); two
        more splits hold the same images with that of their class (NAME-tied) and without any (NAME-clean).
        """
        key, splits = Key.seeded(seed).fold_in("shortcut"), {}
        for name, split in dataset.splits.items():
            if name in ("train", "val"):
                splits[name] = self._painted(split, _marks(split, key.fold_in(name), self.strength))
                continue
            splits[name] = self._painted(split, _marks(split, key.fold_in(name), 0.0))
            splits[f"{name}-tied"] = self._painted(split, split.labels)
            splits[f"{name}-clean"] = split
        note = f"A {self.kind} is painted into it that names the class in {self.strength:.0%} of the training images."
        return replace(dataset, splits=splits).noting(note)

    def _painted(self, split: Split, marks: Tensor) -> Split:
        if self.kind == "background":
            paint = partial(backed, split)
        elif self.where == "border":
            paint = partial(watermarked, len(split.classes), share=self.side)
        else:
            paint = partial(patterned, self.side, self.where)
        return replace(split, images=Painted(split.images, marks, paint, self.kind))


def _marks(split: Split, key: Key, strength: float) -> Tensor:
    """Return the class whose shortcut each image gets: [N] int64."""
    classes, count = len(split.classes), len(split)
    coin, other = key.uniform(count, 2).unbind(1)
    offset = 1 + (other * (classes - 1)).long()
    return torch.where(coin < strength, split.labels, (split.labels + offset) % classes)


Paint = Callable[[Tensor, int, int], Tensor]
"""(image [C, H, W] uint8, class whose shortcut it gets, index) -> the image with it."""


@dataclass(frozen=True, eq=False)
class Painted(WrappedImages):
    """Images with a shortcut each."""

    source: Images
    marks: Tensor
    """[N] int64, the class whose shortcut it is."""
    paint: Paint
    kind: Kind

    def read(self, index: int) -> Tensor:
        """Return the image with its shortcut, [C, H, W] uint8."""
        return self.paint(self.source.read(index), int(self.marks[index]), index)

    def stamp(self, index: int) -> bytes:
        """Return the stamp of the source and what was painted."""
        return self.source.stamp(index) + f"{self.kind} {int(self.marks[index])}".encode()


def watermarked(classes: int, image: Tensor, mark: int, index: int, share: float = SIDE) -> Tensor:
    """Return the image with the watermark of class `mark`: a square of 4 x 4 black and white cells."""
    image, (y, x, side) = image.clone(), place(mark, classes, (image.shape[1], image.shape[2]), share)
    cells = torch.arange(side) * 4 // side
    image[:, y : y + side, x : x + side] = ((cells[:, None] + cells) % 2 * 255).to(torch.uint8)
    return image


def patterned(share: float, where: Where, image: Tensor, mark: int, index: int) -> Tensor:
    """Return the image with the pattern of class `mark`, 4 x 4 black and white cells, in a corner (the classes take
    turns) or anywhere, drawn for each image.
    """
    image, (height, width) = image.clone(), image.shape[1:]
    side = max(2, round(min(height, width) * share))
    down, right = (
        (mark % 4 // 2, mark % 2) if where == "corners" else Key.seeded(index).fold_in("place").uniform(1, 2)[0]
    )
    y, x = int(down * (height - side)), int(right * (width - side))
    code = (Key.seeded(mark).fold_in("pattern").uniform(4, 4) < 0.5).to(torch.uint8) * 255
    cells = torch.arange(side) * 4 // side
    image[:, y : y + side, x : x + side] = code[cells][:, cells]
    return image


def backed(split: Split, image: Tensor, mark: int, index: int) -> Tensor:
    """Return the image with the background of class `mark` around its object, which `split` locates."""
    background = stripes(mark, len(split.classes), (image.shape[1], image.shape[2]))
    return torch.where(_object(split, index, image), image, background)


def place(mark: int, classes: int, size: tuple[int, int], share: float = SIDE) -> tuple[int, int, int]:
    """Return (y, x, side) of the watermark of class `mark`: on the border of an image of `size` (H, W), clockwise.

    share: its side as a share of the shorter one.
    """
    height, width = size
    side = max(2, round(min(size) * share))
    down, across = height - side, width - side
    way = mark / classes * 2 * (down + across)
    for y, x, dy, dx, length in ((0, 0, 0, 1, across), (0, across, 1, 0, down), (down, across, 0, -1, across)):
        if way < length:
            return y + dy * int(way), x + dx * int(way), side
        way -= length
    return down - int(way), 0, side


def stripes(mark: int, classes: int, size: tuple[int, int]) -> Tensor:
    """Return the background of class `mark`: stripes in its own direction, [H, W] uint8 of 48 and 144."""
    height, width = size
    angle = pi * mark / classes
    wave = max(4.0, min(size) / 5)
    along = torch.arange(height)[:, None] * sin(angle) + torch.arange(width) * cos(angle)
    return torch.where((along / wave).frac().abs() < 0.5, 144, 48).to(torch.uint8)


def _object(split: Split, index: int, image: Tensor) -> Tensor:
    """Return where the object of an image is: [H, W] bool."""
    if split.masks:
        return torch.stack([torch.as_tensor(masks[index]) for masks in split.masks.values()]).any(dim=0)
    if split.boxes is not None:
        return inside(split.boxes[index].reshape(-1, 4), (image.shape[1], image.shape[2])).any(dim=0)
    return (image != 0).any(dim=0)
