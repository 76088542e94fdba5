"""An attack on a smoothed copy of the model: a gradient that misleads at a point is right on the average around it.

A function that is added to the input or the logits and changes sign every few thousandths of a pixel value makes the
gradient useless and changes the answer little (1802.00420 calls it shattered). Averaged over noise it cancels. What is
found for the copy is tried on the model itself.

Source: SmoothGrad's average (1706.03825) as the gradient of PGD, as in the attack on randomized smoothing (1906.04584).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks import ball
from overfocus.diagnosis.attacks.attack import Model, climbed, predicted, region_mask
from overfocus.diagnosis.pixels import checked, normal


@dataclass(frozen=True)
class Transfer:
    """`steps` steps up the margin, from eps / 2 down to 0, each along the mean gradient of `draws` noisy copies."""

    eps: float = 8 / 255
    steps: int = 20
    draws: int = 8
    sigma: float = 4 / 255
    """Standard deviation of the noise, in pixel values of [0, 1]."""

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return attacked images [B, C, H, W]; those that the model names otherwise are left alone."""
        clean, mask = checked(pixels, "transfer"), region_mask(pixels, region)
        labels, change = labels.to(clean.device), torch.zeros_like(clean)
        rows = torch.arange(len(clean), device=clean.device)
        for number in range(self.steps):
            here = clean + change
            rows = rows[predicted(model, here[rows].to(pixels.dtype)) == labels[rows]]
            if not len(rows):
                break
            slope = torch.zeros_like(clean[rows])
            for draw in range(self.draws):
                noise = self.sigma * normal(key.fold_in(number).fold_in(draw), clean)
                slope += climbed(model, (here + noise)[rows], labels[rows], pixels.dtype, "margin")[0]
            step = self.eps / 2 * (1 - number / self.steps)
            moved = change[rows] + step * ball.sign(slope) * mask[rows]
            change[rows] = ball.within(moved, clean[rows], self.eps, "linf")
        return (clean + change).clamp(0, 1).to(pixels.dtype)
