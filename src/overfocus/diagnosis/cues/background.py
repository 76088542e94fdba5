"""All that no mask and no box marks; the object is the rest.

The masks of two pictures differ. So the receiver's object is laid, where it was, on the donor's background, in which
the donor's own object is painted over with the blur of what surrounds it: nothing of it is left to be named. Its fringe
goes too, as masks are not exact. Under a box the background that the box holds counts as object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures, Rest
from overfocus.diagnosis.inpaint import grown, without


@dataclass(frozen=True)
class Background(Cue):
    """What surrounds the object."""

    kind: ClassVar[str] = "background"
    order: ClassVar[int] = 2
    marks: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "look at the backgrounds of each class side by side; collect pictures of each class before other backgrounds, "
        "or cut the objects out"
    )
    rest = Rest("object", "the object", "object")

    @property
    def even(self) -> float:
        """It is known not to be the object."""
        return 0.0

    @property
    def title(self) -> str:
        """What it is."""
        return "the background"

    def known(self, pictures: MarkedPictures) -> Tensor:
        """Return whether something is marked, and something is not."""
        hidden = grown(pictures.objects).flatten(1)
        return hidden.any(dim=1) & ~hidden.all(dim=1)

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Paint the object over with the blur of what surrounds it, which leaves no outline of it."""
        return without(pictures.pixels, grown(pictures.objects))

    def rest_only(self, pictures: MarkedPictures) -> Tensor:
        """Paint the background over."""
        return pictures.shown(pictures.objects)

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor:
        """Lay the object on the donor's background."""
        return torch.where(pictures.objects[:, None], pictures.pixels, self.only(donors))
