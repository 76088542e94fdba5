"""Boxes as files state them, and how they are brought to whole pixels of their images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.inventory import NotUsed
from overfocus.data.resize import Size

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, x1 and y1 excluded."""


@dataclass(frozen=True)
class BoxAnnotation:
    """A box as a file states it."""

    corners: Corners
    label: int | str = ""
    """Its class: a category's id (COCO) or a name (VOC); empty where the file has none."""
    hard: bool = False
    """A crowd (COCO), or marked as difficult (VOC): left out where detectors are trained and measured."""


@dataclass
class BoxReport:
    """What is wrong with annotations, counted."""

    unknown: int = 0
    degenerate: int = 0
    outside: int = 0
    unread: int = 0
    clipped: int = 0
    example: str = ""

    def not_used(self) -> tuple[NotUsed, ...]:
        """Return what is left out, and why."""
        whose = f"name no file of the set, or more than one (such as {self.example})"
        return tuple(
            NotUsed("", why, count, what)
            for why, count, what in (
                (whose, self.unknown, "annotations"), ("without area", self.degenerate, "boxes"),
                ("wholly outside their image", self.outside, "boxes"), ("of unreadable images", self.unread, "boxes"),
            )
            if count
        )  # fmt: skip

    def __str__(self) -> str:
        lost = f"{self.unknown} annotations name no file of the set, or more than one (such as {self.example})"
        counts = {
            lost: self.unknown,
            f"{self.degenerate} boxes without area are left out": self.degenerate,
            f"{self.outside} boxes lie outside their image and are left out": self.outside,
            f"{self.unread} boxes are on images that cannot be read": self.unread,
            f"{self.clipped} boxes reach beyond their image and are clipped": self.clipped,
        }
        sentences = [sentence for sentence, count in counts.items() if count]
        return f"Annotations: {'; '.join(sentences)}." if sentences else ""


Unit = Literal["pixels", "shares"]
SMALL, SLACK = 2.0, 0.05
"""What no set of boxes in pixels stays below, and how far rounding may carry shares beyond 0 and 1."""


def unit_of(boxes: Iterable[Corners], where: str) -> Unit:
    """Return the unit of all boxes of a file: pixels, or shares of width and height.

    Raises OverfocusError where they may be both, or where most have their corners the wrong way round.
    """
    every = list(boxes)
    if not every:
        return "pixels"
    turned = sum(x1 < x0 or y1 < y0 for x0, y0, x1, y1 in every)
    if 2 * turned > len(every):
        raise OverfocusError(
            f"{where}: in {turned} of {len(every)} boxes the second corner lies left of or above the first; give x0, "
            "y0, x1, y1 and not width and height"
        )
    low, high = min(map(min, every)), max(map(max, every))
    if high > SMALL:
        return "pixels"
    if low >= -SLACK and high <= 1 + SLACK and any(each != int(each) for box in every for each in box):
        return "shares"
    raise OverfocusError(
        f"{where}: no box reaches beyond {high:g}, so they may be pixels, or shares of width and height; give "
        "pixels, or shares from 0 to 1 with their fractions"
    )


def in_pixels(boxes: Tensor, size: Size, unit: Unit) -> Tensor:
    """Return `boxes` [n, 4] float on an image of `size` (H, W) in pixels."""
    return boxes if unit == "pixels" else (boxes.double() * torch.tensor([size[1], size[0]] * 2)).round(decimals=6)


def finite(numbers: Sequence[float], where: str) -> Corners:
    """Return four corners; OverfocusError where there are not four, or one of them is not finite."""
    if len(numbers) != 4 or not all(map(isfinite, numbers)):
        raise OverfocusError(f"{where}: a box is {list(numbers)}; give four finite numbers")
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1


def clipped(boxes: Tensor, size: Size, report: BoxReport, least: int = 1) -> tuple[Tensor, Tensor]:
    """Round `boxes` [n, 4] outwards and clip them to an image of `size` (H, W): int64 [n, 4].

    Also return which of them [n] are at least `least` pixels wide and high. `report` counts the clipped and the rest.
    """
    limit = torch.tensor([size[1], size[0]] * 2)
    inside = torch.cat((boxes[:, :2].floor(), boxes[:, 2:].ceil()), dim=1).long().clamp(min=0).minimum(limit)
    wide = (inside[:, 2:] - inside[:, :2] >= least).all(dim=1)
    outside = (
        ~wide
        & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        & ((boxes[:, :2] >= limit[:2]) | (boxes[:, 2:] <= 0)).any(dim=1)
    )
    report.outside += int(outside.sum())
    report.degenerate += int((~wide & ~outside).sum())
    report.clipped += int((((boxes < 0) | (boxes > limit)).any(dim=1) & ~outside).sum())
    return inside, wide
