"""What is left of a picture that is blurred until no object is seen: where it is light and dark, and of which colour.

The rest is the detail: the picture less its blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures, Rest
from overfocus.diagnosis.fillings import coarse


@dataclass(frozen=True)
class LowFrequencies(Cue):
    """The blur."""

    kind: ClassVar[str] = "low_frequencies"
    order: ClassVar[int] = 4
    advice: ClassVar[str] = (
        "compare brightness and colour of the classes; take their pictures in one light, or train with --set "
        "data.augment.jitter=0.4"
    )
    rest = Rest("detail", "detail, the picture less its blur", "detail", ranked=False)

    @property
    def title(self) -> str:
        """What it is."""
        return "light and colour of large areas"

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Blur."""
        return coarse(pictures.pixels)

    def rest_only(self, pictures: MarkedPictures) -> Tensor:
        """Take the blur away from around the mean colour."""
        return (pictures.pixels - coarse(pictures.pixels) + pictures.fill.to(pictures.pixels)).clamp(0, 1)

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor:
        """Lay the detail over the donor's blur; what leaves [0, 1] is clipped."""
        return (pictures.pixels - coarse(pictures.pixels) + coarse(donors.pixels)).clamp(0, 1)
