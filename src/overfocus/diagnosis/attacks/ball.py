"""The ball of changes that an attack may make: the largest change of a value (linf), or the length of all (l2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.pixels import normal, uniform

Norm = Literal["linf", "l2"]
TINY = torch.finfo(torch.float32).tiny


def drawn(key: Key, clean: Tensor, mask: Tensor, eps: float, norm: Norm) -> Tensor:
    """Draw a change of every image of `clean` [B, C, H, W], even in the ball of what `mask` [B, 1, ...] lets change.

    In d dimensions nearly all of an l2 ball lies near its surface: a length is eps U^(1/d).
    """
    if norm == "linf":
        return eps * (2 * uniform(key.fold_in("start"), clean) - 1) * mask
    chance = key.fold_in("length").uniform(len(clean)).to(clean.device).view(-1, 1, 1, 1)
    dimensions = mask.expand_as(clean).sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    return eps * chance ** (1 / dimensions) * unit(normal(key.fold_in("start"), clean) * mask)


def within(change: Tensor, clean: Tensor, eps: float, norm: Norm) -> Tensor:
    """Return the nearest change in the ball, cut so that the image stays in [0, 1], which only shortens it."""
    short = change.clamp(-eps, eps) if norm == "linf" else change * (eps / length(change).clamp(min=TINY)).clamp(max=1)
    return (clean + short).clamp(0, 1) - clean


def upward(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the change [B, C, H, W] of size 1 along which a loss with this gradient rises fastest."""
    return sign(gradient) if norm == "linf" else unit(gradient)


def sign(gradient: Tensor) -> Tensor:
    """Return the sign of every value, NaN where it is not finite."""
    # torch's sign of NaN is 0, which would pass off a broken gradient as a model that cannot be attacked.
    return torch.where(gradient.isfinite(), gradient.sign(), torch.nan)


def unit(direction: Tensor) -> Tensor:
    """Return each image's direction [B, C, H, W] at length 1; 0 where it is 0 everywhere."""
    # Squares of small gradients underflow, so the largest value is made 1 first.
    scaled = direction / direction.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=TINY)
    return scaled / length(scaled).clamp(min=TINY)


def length(change: Tensor) -> Tensor:
    """Return the length of each image's change [B, C, H, W]: [B, 1, 1, 1]."""
    return change.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
