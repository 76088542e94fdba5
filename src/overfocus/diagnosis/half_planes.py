"""Half-planes through a point of each picture, and the point: the centre of its object."""

from __future__ import annotations

import torch
from torch import Tensor


def centroids(masks: Tensor) -> Tensor:
    """Return the mean place (x, y) of the pixels of `masks` [B, H, W] bool, in pixels: [B, 2] float32, NaN where there
    are none. The middle of the pixel in row 0 and column 0 is (0.5, 0.5).
    """
    weights = masks.float()
    count = weights.sum(dim=(1, 2))
    y, x = _places(masks.shape[-2], masks), _places(masks.shape[-1], masks)
    return (
        torch.stack(((weights.sum(dim=1) * x).sum(dim=1), (weights.sum(dim=2) * y).sum(dim=1)), dim=1) / count[:, None]
    )


def half_planes(centres: Tensor, angles: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the pixels of pictures of `size` (H, W) whose middle lies ahead of a line through the picture's centre:
    [B, H, W] bool. Those on the line count as ahead, so that each pixel lies on one side.

    centres: (x, y) in pixels [B, 2]. angles: the direction [B] that is ahead, in radians from the x axis towards y,
    which points down; pixels are square, so it is the same direction in a picture of any shape.
    """
    x = _places(size[1], centres) - centres[:, :1]
    y = _places(size[0], centres) - centres[:, 1:]
    along, down = torch.cos(angles)[:, None], torch.sin(angles)[:, None]
    return (along * x)[:, None, :] + (down * y)[:, :, None] >= 0


def _places(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device) + 0.5
