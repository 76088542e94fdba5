"""A cue: one thing in pictures that answers may be read from. It is shown alone, and swapped for another picture's.

A cue cuts a picture in two, itself and the rest, so what one swap says of the cue it says of the rest, too. The cut
leaves traces (an edge, clipped values, a filled hole); the control, the same cut with another picture of the same
class, has them as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.core.key import Key


@dataclass(frozen=True, eq=False)
class MarkedPictures:
    """Some pictures, and what is marked in them."""

    pixels: Tensor
    """[B, C, H, W] float32 in [0, 1]."""
    objects: Tensor
    """What any mask or box marks: [B, H, W] bool."""
    parts: Mapping[str, Tensor]
    """Part -> its mask [B, H, W] bool."""
    fill: Tensor
    """What paints over, the colour that the network was normalised with: [C, 1, 1]."""
    key: Key
    """That of the pictures' places in the sample."""

    def at(self, places: Tensor) -> MarkedPictures:
        """Return the pictures at `places` [b]; draws are those of where they stand in the sample."""
        rows = self.key.first_row
        key = self.key.at(rows[places.to(rows.device)] if isinstance(rows, Tensor) else rows + places)
        on = places.to(self.pixels.device)
        parts = {name: mask[on] for name, mask in self.parts.items()}
        return MarkedPictures(self.pixels[on], self.objects[on], parts, self.fill, key)

    def shown(self, where: Tensor) -> Tensor:
        """Return the pictures with all but `where` [B, H, W] bool painted over: [B, C, H, W]."""
        return torch.where(where[:, None], self.pixels, self.fill.to(self.pixels))


@dataclass(frozen=True)
class Rest:
    """The other side of a cut."""

    name: str
    """What its scores are called."""
    title: str
    kind: str
    box: tuple[float, float, float, float] | None = None
    """Where it is: (x0, y0, x1, y1) as shares of width and height; None for what has no place."""
    ranked: bool = True
    """Whether it is a thing to be ranked by itself, and not only all that a property leaves."""


class Cue(ABC):
    """One file = one cue: a frozen dataclass whose fields are its settings."""

    kind: ClassVar[str]
    """That of its file."""
    order: ClassVar[int]
    """Its place in a table: ascending."""
    intended: ClassVar[bool] = False
    """Whether a network is meant to read it: part of the object."""
    advice: ClassVar[str] = ""
    """What to do where answers are read from it."""
    marks: ClassVar[bool] = False
    """Whether it asks for pictures in which something is marked."""
    rest: Rest | None = None
    """What else a picture shows, where that is a thing of its own; a network is meant to read it."""

    @property
    def even(self) -> float:
        """The share of the log-odds above which it may be a finding: see `metrics.leaning.CueRule`."""
        return 0.5

    @classmethod
    def variants(cls, parts: Sequence[str]) -> tuple[Cue, ...]:
        """Return the cues of this kind for pictures with masks of `parts`."""
        return (cls(),)

    @property
    def name(self) -> str:
        """What its scores are called."""
        return self.kind

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, in a few words, as in "the frame"."""

    def known(self, pictures: MarkedPictures) -> Tensor:
        """Return which of the pictures have it: [B] bool."""
        return torch.ones(len(pictures.pixels), dtype=torch.bool, device=pictures.pixels.device)

    @abstractmethod
    def only(self, pictures: MarkedPictures) -> Tensor:
        """Return pictures that show nothing else: [B, C, H, W] in [0, 1]."""

    def rest_only(self, pictures: MarkedPictures) -> Tensor | None:
        """Return pictures that show all else; None where it has no rest."""
        return None

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor | None:
        """Return `pictures` with this of the `donors`, one for each; None where it cannot be swapped."""
        return None
