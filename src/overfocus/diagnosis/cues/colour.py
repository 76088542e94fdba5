"""Which colours a picture has, wherever they are: its histogram. The rest is the form.

Alone it is the picture with its pixels shuffled. Swapped, each channel of the receiver gets the donor's values: the
darkest pixel the donor's darkest, and so on by rank (histogram matching). In a grey picture it is the brightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from overfocus.diagnosis.corruptions.blur import smooth
from overfocus.diagnosis.cue import Cue, MarkedPictures, Rest
from overfocus.diagnosis.noise import shuffled

TIE = 1e-3
"""Weight of a pixel's surroundings in its rank: less than a step of 8 bits, so only pixels of one value are ordered."""


@dataclass(frozen=True)
class Colour(Cue):
    """The values of each channel, in no order."""

    kind: ClassVar[str] = "colour"
    order: ClassVar[int] = 5
    advice: ClassVar[str] = "compare the colours of the classes; take their pictures with one camera and in one light"
    rest = Rest("form", "form, whatever the colours", "form", ranked=False)

    @property
    def title(self) -> str:
        """What it is."""
        return "the colours, wherever they are"

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Shuffle the pixels."""
        return shuffled(pictures.pixels, pictures.key.fold_in(self.kind))

    def rest_only(self, pictures: MarkedPictures) -> Tensor:
        """Make it grey."""
        return pictures.pixels.mean(dim=1, keepdim=True).expand_as(pictures.pixels)

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor:
        """Give each channel the donor's values by rank."""
        pixels = pictures.pixels
        by = (pixels + TIE * smooth(pixels, min(pixels.shape[-2:]) / 32)).flatten(2)
        values = donors.pixels.flatten(2).sort(dim=2).values
        order = by.argsort(dim=2, stable=True)
        return values.new_empty(values.shape).scatter_(2, order, values).view_as(pixels)
