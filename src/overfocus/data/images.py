"""Rows of images and masks as values: in memory, or some of another row, read one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from overfocus.core.preprocess import Preprocess, Size


@dataclass(frozen=True)
class Header:
    """What the header of a stored picture says."""

    size: Size
    """Height and width, turned as the picture is."""
    turn: int
    """EXIF's tag of orientation, 1 to 8; 1 for none."""
    deep: bool
    """Whether it has more than 8 bits a channel."""
    alpha: bool
    """Whether some of it may be transparent."""


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
        """Return the image, [C, H, W] uint8; OverfocusError, which names it, where it cannot be read."""

    def read_for(self, index: int, to: Size | Preprocess) -> Tensor:
        """Return the image as `read` does, or a smaller one that looks nearly the same once it is fitted to `to`."""
        return self.read(index)

    def decoded_as(self, preprocess: Preprocess) -> Images:
        """Return the images as they are decoded with its orientation, intensity and background; those in memory are
        decoded already.
        """
        return self

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels without decoding the image."""

    def header(self, index: int) -> Header | None:
        """Return what the header of the stored picture says; None for pictures in memory."""
        return None

    @abstractmethod
    def stamp(self, index: int) -> bytes:
        """Return bytes that change when the image does, cheaply; the fingerprint of a set is a hash of them."""

    def pick(self, rows: Tensor) -> Images:
        """Return the images `rows` [n] in that order."""
        return PickedImages(self, rows)


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


class WrappedImages(Images):
    """The images of a `source`, which a dataclass below it holds; what it overrides, it changes."""

    source: Images

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", self.source.channels)

    def at(self, index: int) -> int:
        """Return the position in the source."""
        return index

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """Return the name that the source gives it."""
        return self.source.name(self.at(index))

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return self.source.read(self.at(index))

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.source.size(self.at(index))

    def stamp(self, index: int) -> bytes:
        """Return the stamp that the source gives it."""
        return self.source.stamp(self.at(index))

    def header(self, index: int) -> Header | None:
        """Return the header that the source gives it."""
        return self.source.header(self.at(index))

    def decoded_as(self, preprocess: Preprocess) -> Images:
        """Return the same with the source decoded so."""
        return replace(self, source=self.source.decoded_as(preprocess))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class PickedImages(WrappedImages):
    """Some images of a row, in any order."""

    source: Images
    rows: Tensor

    def at(self, index: int) -> int:
        """Return the position in the source."""
        return int(self.rows[index])

    def __len__(self) -> int:
        return len(self.rows)

    def read_for(self, index: int, to: Size | Preprocess) -> Tensor:
        """Return the image as the source does."""
        return self.source.read_for(self.at(index), to)

    def pick(self, rows: Tensor) -> Images:
        """Return the images `rows` [n] of these."""
        return PickedImages(self.source, self.rows[rows])


class Masks(Protocol):
    """One bool [H, W] per image, by its position."""

    def __getitem__(self, index: int, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class PickedMasks:
    """Some masks of a row, in any order."""

    source: Masks
    rows: Tensor

    def __getitem__(self, index: int, /) -> Tensor:
        return self.source[int(self.rows[index])]
