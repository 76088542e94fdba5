"""Labelled images as values: where they come from, what they show, and which of them belong together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName


class Images(ABC):
    """A row of images, read one by one."""

    channels: int
    """Channels of every image that `read` returns: 1 grey, 3 RGB."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what a person calls the image: its file, or its place in an archive."""

    @abstractmethod
    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8; an image that cannot be read is an `OverfocusError` that names it."""

    def read_for(self, index: int, size: tuple[int, int]) -> Tensor:
        """Return the image as `read` does, or smaller where nearly nothing of that can be seen at `size`."""
        return self.read(index)

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels without decoding the image."""

    @abstractmethod
    def stamp(self, index: int) -> bytes:
        """Return bytes that change when the image does, cheaply."""

    def pick(self, rows: Tensor) -> Images:
        """Return the images `rows` [n] in that order."""
        return PickedImages(self, rows)


class Masks(Protocol):
    """One bool [H, W] per image, by its position."""

    def __getitem__(self, index: int, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class TensorImages(Images):
    """Images of one size, held in memory."""

    pixels: Tensor
    """[N, C, H, W] uint8."""
    source: str = "image"
    channels: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", self.pixels.shape[1])

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, index: int) -> str:
        """Return the source and the position in it."""
        return f"{self.source}#{index}"

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return self.pixels[index]

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def stamp(self, index: int) -> bytes:
        """Return the pixels."""
        return self.pixels[index].contiguous().numpy().tobytes()

    def pick(self, rows: Tensor) -> Images:
        """Return a copy of the images `rows` [n]."""
        return replace(self, pixels=self.pixels[rows])


class ChangedImages(Images):
    """The images of a `source`, in its order, changed as they are read; a dataclass below it holds the `source`."""

    source: Images

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", self.source.channels)

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """Return the name that the source gives it."""
        return self.source.name(index)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.source.size(index)

    def stamp(self, index: int) -> bytes:
        """Return the stamp that the source gives it."""
        return self.source.stamp(index)


@dataclass(frozen=True, eq=False)
class PickedImages(Images):
    """Some images of a row, in any order."""

    source: Images
    rows: Tensor
    channels: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", self.source.channels)

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        """Return the name that the source gives it."""
        return self.source.name(int(self.rows[index]))

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return self.source.read(int(self.rows[index]))

    def read_for(self, index: int, size: tuple[int, int]) -> Tensor:
        """Return the image as the source does."""
        return self.source.read_for(int(self.rows[index]), size)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.source.size(int(self.rows[index]))

    def stamp(self, index: int) -> bytes:
        """Return the stamp that the source gives it."""
        return self.source.stamp(int(self.rows[index]))

    def pick(self, rows: Tensor) -> Images:
        """Return the images `rows` [n] of these."""
        return PickedImages(self.source, self.rows[rows])


@dataclass(frozen=True, eq=False)
class PickedMasks:
    """Some masks of a row, in any order."""

    source: Masks
    rows: Tensor

    def __getitem__(self, index: int, /) -> Tensor:
        return self.source[int(self.rows[index])]


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, and where the object is if that is known."""

    images: Images
    labels: Tensor
    """[N] int64."""
    classes: tuple[str, ...]
    boxes: Sequence[Tensor] | None = None
    """For each image [n, 4] int64 (x0, y0, x1, y1) in its pixels, x1 and y1 excluded; n may be 0."""
    masks: Mapping[str, Masks] = field(default_factory=dict)
    """Name of a part -> bool [H, W] for each image."""

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise OverfocusError(
                f"split: {len(self.images)} images and {len(self.labels)} labels; give one label for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor | Sequence[int]) -> Split:
        """Return the images at `indices` [n] with all that belongs to them, in that order."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return Split(
            self.images.pick(rows),
            self.labels[rows],
            self.classes,
            None if self.boxes is None else [self.boxes[row] for row in rows.tolist()],
            {name: _pick_masks(masks, rows) for name, masks in self.masks.items()},
        )

    def counts(self) -> Tensor:
        """Return how many images each class has: [K] int64."""
        return torch.bincount(self.labels, minlength=len(self.classes))


def _pick_masks(masks: Masks, rows: Tensor) -> Masks:
    return masks[rows] if isinstance(masks, Tensor) else PickedMasks(masks, rows)


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
    """What a reader of its figures must know: licence, lossy copies, holdouts, what was left out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", Splits(self.splits))

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
            for stamp in _stamps(split.images):
                digest.update(stamp)
        return digest.hexdigest()


def _stamps(images: Images) -> Iterator[bytes]:
    if isinstance(images, TensorImages):
        return (chunk.contiguous().numpy().tobytes() for chunk in images.pixels.split(4096))
    return (images.stamp(index) for index in range(len(images)))
