"""Noise of sensors and wires, added to images [B, C, H, W] in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.pixels import normal, uniform

FEW, TERMS = 8.0, 32
"""Mean up to which counts are found by summing, and terms that hold all that a draw in steps of 2^-24 can reach."""


def gaussian(pixels: Tensor, key: Key, scale: float) -> Tensor:
    """Add N(0, scale) to every value."""
    return pixels + scale * normal(key, pixels)


def shot(pixels: Tensor, key: Key, photons: float) -> Tensor:
    """Count light: every value x becomes Poisson(x photons) / photons."""
    return poisson(uniform(key, pixels), pixels * photons) / photons


def impulse(pixels: Tensor, key: Key, amount: float) -> Tensor:
    """Set the share `amount` of all values to 0 or 1, each as likely."""
    chance = uniform(key, pixels)
    return torch.where(chance < amount, (chance < amount / 2).float(), pixels)


def poisson(chance: Tensor, mean: Tensor) -> Tensor:
    """Turn U[0, 1) into counts of that `mean`, same shape, by the inverse of the distribution function.

    Up to a mean of 8 by summing probabilities; above by the expansion around the normal distribution of Giles (TOMS
    algorithm 955, 2016), which is off by one in fewer than one draw of a thousand. torch's own sampler cannot give an
    image the same numbers in another batch.
    """
    return torch.where(mean <= FEW, _summed(chance, mean.clamp(max=FEW)), _expanded(chance, mean.clamp(min=FEW)))


def _summed(chance: Tensor, mean: Tensor) -> Tensor:
    term = torch.exp(-mean)
    reached, count = term.clone(), torch.zeros_like(mean)
    for k in range(1, TERMS + 1):
        term = term * mean / k
        # Rounded sums may end just below the largest draw, which would then count every term that is left.
        count += (chance >= reached) & (term > 2.0**-26)
        reached += term
    return count


def _expanded(chance: Tensor, mean: Tensor) -> Tensor:
    z = torch.special.ndtri(chance.clamp(min=2.0**-25))
    root = mean.sqrt()
    first = root * z + (2 + z**2) / 6
    second = -(2 * z + z**3) / (72 * root)
    third = (3 * z**4 + 7 * z**2 - 16) / (810 * mean)
    return (mean + first + second + third).floor().clamp(min=0)
