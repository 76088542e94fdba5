"""Boxes as files state them, and how they are brought to whole pixels of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
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
    clipped: int = 0
    example: str = ""

    def __str__(self) -> str:
        lost = f"{self.unknown} annotations name no file of the set, or more than one (such as {self.example})"
        counts = {
            lost: self.unknown,
            f"{self.degenerate} boxes without area are left out": self.degenerate,
            f"{self.clipped} boxes reach beyond their image and are clipped": self.clipped,
        }
        sentences = [sentence for sentence, count in counts.items() if count]
        return f"Annotations: {'; '.join(sentences)}." if sentences else ""


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
    report.clipped += int(((boxes < 0) | (boxes > limit)).any(dim=1).sum())
    wide = (inside[:, 2:] - inside[:, :2] >= least).all(dim=1)
    report.degenerate += int((~wide).sum())
    return inside, wide
