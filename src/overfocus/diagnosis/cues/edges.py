"""Outlines alone: how steep the grey picture is at each pixel (Sobel), the steepest white; no colour, no texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures


@dataclass(frozen=True)
class Edges(Cue):
    """A picture of the gradient."""

    kind: ClassVar[str] = "edges"
    order: ClassVar[int] = 7

    @property
    def title(self) -> str:
        """What it is."""
        return "outlines"

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Show the length of the gradient, in shares of its largest."""
        grey = F.pad(pictures.pixels.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=grey.device)
        steep = F.conv2d(grey, torch.stack((across, across.T))[:, None]).square().sum(dim=1, keepdim=True).sqrt()
        return (steep / steep.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)).expand_as(pictures.pixels)
