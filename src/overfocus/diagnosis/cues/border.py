"""The frame of a picture, an eighth and a quarter of the side wide; the middle is the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures, Rest
from overfocus.diagnosis.wording import percent

PARTS = (8, 4)


@dataclass(frozen=True)
class Border(Cue):
    """All that is nearer to the edge than 1 / `part` of height or width, at least a pixel."""

    kind: ClassVar[str] = "border"
    order: ClassVar[int] = 1
    advice: ClassVar[str] = (
        "`overfocus check DATA`; look at the frames of each class side by side; crop them away, or take pictures of "
        "all classes in one way"
    )
    part: int = 8

    @classmethod
    def variants(cls, parts: Sequence[str]) -> tuple[Cue, ...]:
        """Return both widths."""
        return tuple(cls(part) for part in PARTS)

    @property
    def name(self) -> str:
        """Its kind and width."""
        return f"{self.kind}_{self.part}"

    @property
    def even(self) -> float:
        """Its area: it may hold some of the object."""
        return 1 - (1 - 2 / self.part) ** 2

    @property
    def title(self) -> str:
        """What it is."""
        return f"the frame (1/{self.part} of the side)"

    @property
    def rest(self) -> Rest:  # type: ignore[override]
        """The middle."""
        inner, edge = 1 - 2 / self.part, 1 / self.part
        title = f"the middle ({percent(inner)} of the side)"
        return Rest(f"middle_{self.part}", title, "middle", (edge, edge, 1 - edge, 1 - edge))

    def known(self, pictures: MarkedPictures) -> Tensor:
        """Return whether there is a middle."""
        return ~self._frame(pictures).flatten(1).all(dim=1)

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Paint the middle over."""
        return pictures.shown(self._frame(pictures))

    def rest_only(self, pictures: MarkedPictures) -> Tensor:
        """Paint the frame over."""
        return pictures.shown(~self._frame(pictures))

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor:
        """Lay the donor's frame around the middle."""
        return torch.where(self._frame(pictures)[:, None], donors.pixels, pictures.pixels)

    def _frame(self, pictures: MarkedPictures) -> Tensor:
        count, _, height, width = pictures.pixels.shape
        down, along = max(1, round(height / self.part)), max(1, round(width / self.part))
        frame = torch.ones(height, width, dtype=torch.bool, device=pictures.pixels.device)
        frame[down : height - down, along : width - along] = False
        return frame.expand(count, -1, -1)
