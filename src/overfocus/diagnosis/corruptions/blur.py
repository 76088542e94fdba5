"""Blurs of images [B, C, H, W], for all images of a batch at once.

Smoothing is a product with one matrix for the rows and one for the columns: any width and border at the same price, and
no padding that a small image could not give.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.pixels import within

Border = Literal["nearest", "reflect", "mirror"]
"""What lies beyond the edge of (a b c): (a a | a b c), (b a | a b c) or (c b | a b c)."""


def smooth(pictures: Tensor, sigma: float, truncate: float = 4.0, border: Border = "nearest") -> Tensor:
    """Return `pictures` [..., H, W] smoothed by a Gaussian of `sigma` pixels, cut at `truncate` sigmas."""
    reach = int(truncate * sigma + 0.5)
    down, along = (_smoothing(size, sigma, reach, border).to(pictures) for size in pictures.shape[-2:])
    return down @ pictures @ along.T


@lru_cache(maxsize=64)
def _smoothing(size: int, sigma: float, reach: int, border: Border) -> Tensor:
    """Return the matrix [size, size] that smooths a line."""
    if not reach:
        return torch.eye(size)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    sources = _folded(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, (weights / weights.sum()).expand(size, -1)).float()


def _folded(position: Tensor, size: int, border: Border) -> Tensor:
    """Bring positions beyond the edge back into [0, size)."""
    if border == "nearest" or size == 1:
        return position.clamp(0, size - 1)
    twice = border == "reflect"  # whether the pixel at the edge is seen twice
    position = position % (2 * size if twice else 2 * size - 2)
    return torch.where(position < size, position, 2 * size - 1 - position if twice else 2 * size - 2 - position)


def defocus(pixels: Tensor, key: Key, radius: float, alias: float) -> Tensor:
    """Return images [B, C, H, W] seen through a round opening of `radius` pixels, its edge smoothed by `alias` pixels;
    nothing is drawn.
    """
    kernel = _disk(radius, alias).to(pixels)
    reach = len(kernel) // 2
    batch, channels, height, width = pixels.shape
    padded = F.pad(pixels.reshape(batch * channels, 1, height, width), (reach,) * 4, mode="reflect")
    return F.conv2d(padded, kernel[None, None]).reshape(pixels.shape)


@lru_cache(maxsize=16)
def _disk(radius: float, alias: float) -> Tensor:
    """Return the kernel [k, k] of a round opening, on the published grid and cut to where it is not 0."""
    reach, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    line = torch.arange(-reach, reach + 1)
    disk = (line[:, None] ** 2 + line**2 <= radius**2).float()
    edge = _smoothing(len(line), alias, taps, "mirror")
    cut = max(0, reach - int(radius) - taps)
    return (edge @ (disk / disk.sum()) @ edge.T)[cut : len(line) - cut, cut : len(line) - cut]


def motion(pixels: Tensor, key: Key, radius: int, sigma: float) -> Tensor:
    """Return images [B, C, H, W] smeared in a direction of their own within 45 degrees of the horizontal."""
    return smeared(pixels, radius, sigma, within(key, pixels, -45, 45))


def smeared(pixels: Tensor, radius: int, sigma: float, degrees: Tensor) -> Tensor:
    """Return images [B, C, H, W] smeared to one side along `degrees` [B], 0 along a row and 90 down a column.

    As ImageMagick does: 2 radius + 1 whole pixels along the line with weights of half a Gaussian; the edge goes on.
    """
    height, width = pixels.shape[-2:]
    taps = torch.arange(2 * radius + 1, device=pixels.device)
    weights = torch.exp(-0.5 * (taps / sigma) ** 2)
    weights = weights / weights.sum()
    angle = torch.deg2rad(degrees)[:, None]
    down, along = (torch.ceil(taps * part - 0.5).long() for part in (angle.sin(), angle.cos()))
    rows = (torch.arange(height, device=pixels.device) + down[:, :, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=pixels.device) + along[:, :, None]).clamp(0, width - 1)
    result = torch.zeros_like(pixels)
    for tap in range(len(taps)):
        result += weights[tap] * _picked(pixels, rows[:, tap, :, None] * width + columns[:, tap, None])
    return result


def glass(pixels: Tensor, key: Key, sigma: float, reach: int, times: int) -> Tensor:
    """Return images [B, C, H, W] as through structured glass: smoothed, pixels moved by up to `reach`, `times` over,
    and smoothed again.
    """
    shaken = smooth(pixels, sigma)
    for turn in range(times):
        shift = key.fold_in(turn).uniform(len(pixels), 2 * pixels[0, 0].numel()).to(pixels.device)
        shift = (shift * 2 * reach).long().clamp(max=2 * reach - 1) - reach
        shaken = _picked(shaken, origins(shift.reshape(len(pixels), 2, *pixels.shape[-2:]), reach))
    return smooth(shaken, sigma)


def origins(shift: Tensor, reach: int) -> Tensor:
    """Return where each pixel comes from when all take over, one after another, the pixel at their `shift`: flat
    positions [B, H, W] int64, from shifts [B, 2, H, W] down and along.

    The published loop goes from the last pixel to the first, leaves a border out, and takes the other pixel as it is by
    then; it means to swap, but its swap of rows of an array copies, and this does what the published data has. A pixel
    that looks back at one already done takes over what that one took: a chain, which halving walks for all at once.
    """
    height, width = shift.shape[-2:]
    down, along = (torch.arange(size, device=shift.device) for size in (height, width))
    moves = ((down > reach) & (down <= height - reach))[:, None] & ((along > reach) & (along <= width - reach))
    here = down[:, None] * width + along
    there = torch.where(moves, here + shift[:, 0] * width + shift[:, 1], here).flatten(1)
    last = torch.where(there > here.flatten(), there, here.flatten())
    for _ in range(ceil(np.log2(height * width))):
        last = last.gather(1, last)
    return there.gather(1, last).reshape(-1, height, width)


def _picked(pixels: Tensor, positions: Tensor) -> Tensor:
    """Return the pixels of each image [B, C, H, W] at its own flat `positions` [B, H, W]."""
    index = positions.flatten(1)[:, None].expand(-1, pixels.shape[1], -1)
    return pixels.flatten(2).gather(2, index).reshape(pixels.shape)


def zoom(pixels: Tensor, key: Key, stop: float, step: float) -> Tensor:
    """Return the mean of the images [B, C, H, W] and of themselves magnified by 1, 1 + `step` and so on below `stop`;
    nothing is drawn.
    """
    # NumPy's own rounding says whether the last factor is in: the published 1.06 in steps of 0.01 takes 1.06 in.
    factors = np.arange(1, stop, step)
    total = pixels.clone()
    for factor in factors:
        total += magnified(pixels, float(factor))
    return total / (len(factors) + 1)


def magnified(pixels: Tensor, factor: float) -> Tensor:
    """Return the middle of `pixels` [B, C, H, W] magnified by `factor` >= 1 to the same size, linear in between."""
    size = pixels.shape[-2:]
    part = [ceil(each / factor) for each in size]
    top, left = ((each - cut) // 2 for each, cut in zip(size, part, strict=True))
    middle = pixels[..., top : top + part[0], left : left + part[1]]
    large = F.interpolate(middle, size=[round(each * factor) for each in part], mode="bilinear", align_corners=True)
    top, left = ((have - each) // 2 for each, have in zip(size, large.shape[-2:], strict=True))
    return large[..., top : top + size[0], left : left + size[1]]
