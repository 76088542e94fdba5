"""The pictures of a window by their index: those of the data, and those that were dropped on the page."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.data import Split, balanced
from overfocus.data.image_files import REMEDY, EncodedImages
from overfocus.data.resize import FittedImages, fitted
from overfocus.report.label import file_name

MOST_DROPPED = 200
"""Dropped pictures that a window holds."""
KEPT = 512
"""Pictures of the data that stay decoded."""


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture as the network is shown it."""

    name: str
    """Its file, or its place in a table."""
    label: str
    """Its class; empty where it is not known."""
    pixels: Tensor
    """[C, H, W] float32 in [0, 1]."""


@dataclass(frozen=True, eq=False)
class DroppedImage(EncodedImages):
    """One image that came over the wire."""

    def name(self, index: int) -> str:
        """Return the name that its sender gave it."""
        return self.source


class PictureList:
    """Pictures of a split, read when asked for, and behind them those that are added; safe among threads."""

    def __init__(self, split: Split | None, how: Preprocess, channels: int, limit: int = 0) -> None:
        """Take at most `limit` pictures (0: all) of the split, balanced over its classes, as `how` brings them to a
        size; without a split there are only those that are added.
        """
        if split is not None and limit and limit < len(split):
            split = split.subset(balanced(split.labels, limit, 0))
        self.split = None if split is None else fitted(split, how)
        self.how, self.channels = how, channels
        self._added: list[ShownPicture] = []
        self._read: OrderedDict[int, ShownPicture] = OrderedDict()
        self._lock = Lock()

    @property
    def own(self) -> int:
        """How many are the data's; the others were added."""
        return 0 if self.split is None else len(self.split)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        assert self.how.size is not None
        return self.how.size

    def __len__(self) -> int:
        return self.own + len(self._added)

    def __getitem__(self, index: int) -> ShownPicture:
        """Return a picture; OverfocusError where there is none, or where it cannot be read."""
        if not 0 <= index < len(self):
            raise OverfocusError(f"no picture {index}; there are {len(self)}, from 0")
        if index >= self.own:
            return self._added[index - self.own]
        with self._lock:
            if index not in self._read:
                self._read[index] = self._of_data(index)
                while len(self._read) > KEPT:
                    self._read.popitem(last=False)
            self._read.move_to_end(index)
            return self._read[index]

    def label(self, index: int) -> int | None:
        """Return the number of the class of a picture of the data, without reading it; None for others."""
        return int(self.split.labels[index]) if self.split is not None and index < self.own else None

    def add(self, data: bytes, name: str) -> int:
        """Decode an image file as those of the data are, and return its index; OverfocusError where it is none."""
        if len(self._added) >= MOST_DROPPED:
            raise OverfocusError(f"{MOST_DROPPED} pictures were dropped already; open the window anew for more")
        name = file_name(name) or "picture"
        images = FittedImages(DroppedImage([data], name, self.channels, self.how), self.how)
        try:
            pixels = images.read(0).float() / 255
        except OverfocusError as error:
            raise OverfocusError(str(error).removesuffix(f"; {REMEDY}")) from error
        with self._lock:
            self._added.append(ShownPicture(name, "", pixels))
            return len(self) - 1

    def _of_data(self, index: int) -> ShownPicture:
        assert self.split is not None
        images, label = self.split.images, self.split.labels[index]
        return ShownPicture(images.name(index), self.split.classes[int(label)], images.read(index).float() / 255)
