"""A change of a part of an image: what is painted over, and what is shown there instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key

PATCH = "patch"
"""The filling that is a piece of another picture; it moves with its mask."""
Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels, x1 and y1 excluded."""


@dataclass(frozen=True, eq=False)
class Edit:
    """A part of an image, and what is shown there instead. Raises OverfocusError for a mask that is none."""

    mask: Tensor
    """[H, W] bool."""
    fill: Tensor
    """What is shown, in [0, 1], broadcast to the images: a colour [C, 1, 1], a picture [C, H, W], one for each image
    [B, C, H, W].
    """
    filling: str = "mean"
    """Its name: mean, blur, noise or patch, a piece of another picture."""

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != torch.bool:
            raise OverfocusError(f"edit: a mask {self.mask.dtype} {tuple(self.mask.shape)}; give bool [H, W]")

    @property
    def share(self) -> float:
        """The share of the image that is changed, in [0, 1]."""
        return float(self.mask.float().mean())


def apply(images: Tensor, edit: Edit) -> Tensor:
    """Return `images` [..., C, H, W] with the edit made in each; they are not written to."""
    if images.shape[-2:] != edit.mask.shape:
        raise OverfocusError(f"edit: a mask {tuple(edit.mask.shape)} for images {tuple(images.shape[-2:])}")
    return torch.where(edit.mask.to(images.device), edit.fill.to(images), images)


def apply_all(images: Tensor, edits: Sequence[Edit]) -> Tensor:
    """Return `images` [..., C, H, W] with the edits made one after another, the later over the earlier."""
    for edit in edits:
        images = apply(images, edit)
    return images


def control(edit: Edit, key: Key) -> Edit:
    """Return the edit with as much of the image changed in the same shape elsewhere: see `elsewhere`.

    Edits that are moved with the same key stay together. A piece of another picture goes along.
    """
    place = torch.arange(edit.mask.numel()).view(1, *edit.mask.shape)
    moved = elsewhere(place, key)[0].to(edit.mask.device)
    fill = edit.fill
    if edit.filling == PATCH:
        fill = fill.expand(*fill.shape[:-2], *edit.mask.shape).flatten(-2)[..., moved]
    return replace(edit, mask=edit.mask.flatten()[moved], fill=fill)


def elsewhere(maps: Tensor, key: Key) -> Tensor:
    """Return each of `maps` [B, H, W] turned over by chance and moved to a random place, across the edges."""
    count, height, width = maps.shape
    drawn = key.uniform(count, 4)
    y = torch.arange(height, device=maps.device) + (drawn[:, 0] * height).long()[:, None]
    x = torch.arange(width, device=maps.device) + (drawn[:, 1] * width).long()[:, None]
    y = torch.where(drawn[:, 2:3] < 0.5, -1 - y, y) % height
    x = torch.where(drawn[:, 3:4] < 0.5, -1 - x, x) % width
    each = torch.arange(len(maps), device=maps.device)[:, None, None]
    return maps[each, y[:, :, None], x[:, None, :]]


def piece(donor: Tensor, box: Rectangle, corner: tuple[int, int], size: tuple[int, int]) -> Edit:
    """Return the edit that shows the part `box` of another picture `donor` [C, h, w] with its upper left at `corner`.

    corner: (x, y) in images of `size` (H, W); what would lie outside is left out. Raises OverfocusError for a box that
    is empty or not within the donor, or of which nothing is within the images.
    """
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= donor.shape[-1] and 0 <= y0 < y1 <= donor.shape[-2]):
        raise OverfocusError(f"edit: no box {box} in a picture of {donor.shape[-2]} x {donor.shape[-1]} pixels")
    (height, width), (x, y) = size, corner
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + x1 - x0, width), min(y + y1 - y0, height)
    if left >= right or top >= bottom:
        raise OverfocusError(f"edit: a piece at {corner} lies outside images of {height} x {width} pixels")
    mask, fill = torch.zeros(size, dtype=torch.bool), donor.new_zeros(len(donor), height, width)
    mask[top:bottom, left:right] = True
    fill[:, top:bottom, left:right] = donor[:, y0 + top - y : y0 + bottom - y, x0 + left - x : x0 + right - x]
    return Edit(mask, fill, PATCH)
