"""A part of the object, where masks mark several: the wing, the disc, the digit.

The receiver's part is painted over with the blur of what surrounds it, and the donor's laid there: middle on middle, as
large as the receiver's by the longer side of the boxes around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures
from overfocus.diagnosis.inpaint import without
from overfocus.diagnosis.wording import quoted


@dataclass(frozen=True)
class Part(Cue):
    """One of several masks."""

    kind: ClassVar[str] = "part"
    order: ClassVar[int] = 3
    intended: ClassVar[bool] = True
    marks: ClassVar[bool] = True
    part: str = ""

    @classmethod
    def variants(cls, parts: Sequence[str]) -> tuple[Cue, ...]:
        """Return one for each part; none where there is but one, which is the object."""
        return tuple(cls(part) for part in parts) if len(parts) > 1 else ()

    @property
    def name(self) -> str:
        """Its kind and its mask's name."""
        return f"{self.kind}_{self.part}"

    @property
    def title(self) -> str:
        """What it is."""
        return f"the part {quoted(self.part)}"

    def known(self, pictures: MarkedPictures) -> Tensor:
        """Return whether the part is marked."""
        return pictures.parts[self.part].flatten(1).any(dim=1)

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Paint all other parts over with the blur of what surrounds them: the scene stays."""
        mine = pictures.parts[self.part]
        return without(pictures.pixels, pictures.objects & ~mine)

    def swapped(self, pictures: MarkedPictures, donors: MarkedPictures) -> Tensor:
        """Lay the donor's part in the place of the receiver's."""
        mine, other = pictures.parts[self.part], donors.parts[self.part]
        empty = without(pictures.pixels, mine)
        brought, where = _brought(donors.pixels, other, mine)
        return torch.where(where[:, None], brought, empty)


def _brought(pixels: Tensor, masks: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
    """Return `pixels` [B, C, H, W] and `masks` [B, H, W] moved and scaled to where the masks `to` are."""
    from_box, to_box = _around(masks), _around(to)
    scale = _longer(from_box) / _longer(to_box)
    down, up = (
        _sources(from_box[:, axis::2], to_box[:, axis::2], scale, masks.shape[-2 + axis]) for axis in (0, 1)
    )  # fmt: skip
    image, y, x = torch.arange(len(masks), device=masks.device)[:, None, None], down[:, :, None], up[:, None, :]
    inside = ((y >= 0) & (y < masks.shape[-2])) & ((x >= 0) & (x < masks.shape[-1]))
    y, x = y.clamp(0, masks.shape[-2] - 1), x.clamp(0, masks.shape[-1] - 1)
    return pixels.movedim(1, -1)[image, y, x].movedim(-1, 1), masks[image, y, x] & inside


def _around(masks: Tensor) -> Tensor:
    """Return the boxes (y0, x0, y1, x1) around `masks` [B, H, W] bool: [B, 4] float32; of an empty one, of it all."""
    ends = []
    for axis in (2, 1):
        line = masks.any(dim=axis)
        line = line | ~line.any(dim=1, keepdim=True)
        first, last = line.float().argmax(dim=1), line.shape[1] - line.flip(1).float().argmax(dim=1)
        ends.append((first, last))
    (top, bottom), (left, right) = ends
    return torch.stack((top, left, bottom, right), dim=1).float()


def _longer(boxes: Tensor) -> Tensor:
    return torch.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def _sources(from_ends: Tensor, to_ends: Tensor, scale: Tensor, size: int) -> Tensor:
    """Return which pixel along a line of `size` is brought to each: [B, size] int64, perhaps outside."""
    places = torch.arange(size, device=scale.device) + 0.5
    middle = to_ends.mean(dim=1, keepdim=True)
    return (from_ends.mean(dim=1, keepdim=True) + (places - middle) * scale[:, None]).floor().long()
