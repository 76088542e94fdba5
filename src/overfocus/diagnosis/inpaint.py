"""Objects taken out of pictures: the hole shows the blur of what surrounds it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.diagnosis.corruptions.blur import smooth

WIDE, NEAR = 1 / 8, 1 / 32
"""Sigma of the blur far from the edge of a hole and near it, as shares of the shorter side."""
FRINGE = 1 / 64
"""What is taken out around a mask, as a share of the shorter side."""
SEEN = 1e-3
"""Least weight of the surroundings in a blur; below it the wider one is shown, or the mean of all that is shown."""


def without(pixels: Tensor, hidden: Tensor) -> Tensor:
    """Return `pixels` [B, C, H, W] whose `hidden` [B, H, W] bool show the blur of what is not (a normalised
    convolution); a picture that is hidden in full shows grey.
    """
    shown = (~hidden[:, None]).to(pixels)
    count = shown.sum(dim=(2, 3), keepdim=True)
    filled = torch.where(count > 0, (pixels * shown).sum(dim=(2, 3), keepdim=True) / count.clamp(min=1), 0.5)
    for share in (WIDE, NEAR):
        sigma = share * min(pixels.shape[-2:])
        weight = smooth(shown, sigma)
        filled = torch.where(weight > SEEN, smooth(pixels * shown, sigma) / weight.clamp(min=SEEN), filled)
    return torch.where(hidden[:, None], filled, pixels).clamp(0, 1)


def grown(masks: Tensor) -> Tensor:
    """Return `masks` [B, H, W] bool with the fringe around them, at least a pixel."""
    reach = max(1, round(FRINGE * min(masks.shape[-2:])))
    return F.max_pool2d(masks[:, None].float(), 2 * reach + 1, 1, reach)[:, 0] > 0
