"""An attack by gradient that goes on until the loss stops rising, for each image by itself.

Ten steps of one size stop where they happen to be. Here the step begins at 2 eps, so that the first one is that of
FGSM, and is halved, back at the best point so far, whenever `PATIENCE` steps brought little; an image is done when its
step is small. Cross-entropy is climbed from the image itself, and then, by what stands, the margin from a random point:
the gradient of cross-entropy vanishes where a network is sure, that of the margin does not.

Source: Auto-PGD, 2003.01690, which halves the step at fixed numbers of steps and carries on a part of the last move.
The margin needs only two classes, unlike the ratio of differences there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks import ball
from overfocus.diagnosis.attacks.attack import Attack, Loss, Model, climbed, region_mask
from overfocus.diagnosis.attacks.ball import Norm
from overfocus.diagnosis.pixels import checked

PATIENCE, LITTLE = 5, 0.05
"""Steps between two looks at the progress, and the share of all that a loss has risen below which progress is little.
"""
SMALLEST = 1 / 32
"""An image is done when its step is a smaller share of eps."""


class Attacked(NamedTuple):
    """What came of an attack."""

    pixels: Tensor
    """[B, C, H, W]."""
    rising: Tensor
    """[B] bool: the image stands, and a loss was still rising when the steps ended."""


@dataclass(frozen=True)
class AdaptivePGD:
    """At most `steps` steps of decaying size up each of `losses`, within the ball of `eps` and [0, 1].

    The first of `losses` is climbed from the image itself, each other from a random point, even in the ball. An image
    that the model names otherwise is left alone, also one that it does from the start.
    """

    eps: float = 8 / 255
    norm: Norm = "linf"
    steps: int = 100
    losses: tuple[Loss, ...] = ("ce", "margin")

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return attacked images [B, C, H, W]."""
        return self.follow(model, pixels, labels, key, region).pixels

    def follow(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Attacked:
        """Return attacked images [B, C, H, W], and for which of them more steps might have helped."""
        clean, mask = checked(pixels, "PGD"), region_mask(pixels, region)
        rows, found = torch.arange(len(clean), device=clean.device), torch.zeros_like(clean)
        rising = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        for number, loss in enumerate(self.losses):
            start = torch.zeros_like(clean)
            if number:
                start = ball.drawn(key.fold_in(number), clean, mask, self.eps, self.norm)
            climb = _Climb(self, model, loss, clean, labels.to(clean.device), mask, pixels.dtype)
            found, rows, unfinished = climb.run(ball.within(start, clean, self.eps, self.norm), found, rows)
            rising[unfinished] = True
        rising &= torch.zeros_like(rising).index_fill(0, rows, True)
        return Attacked((clean + found).clamp(0, 1).to(pixels.dtype), rising)


def followed(
    attack: Attack, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None
) -> Attacked:
    """Return what came of any `attack`; where it does not look at its progress, nothing is said to be rising."""
    if isinstance(attack, AdaptivePGD):
        return attack.follow(model, pixels, labels, key, region)
    rising = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    return Attacked(attack.attack(model, pixels, labels, key, region), rising)


@dataclass(frozen=True)
class _Climb:
    """The way up one loss, of those rows [n] of a batch that are still under attack."""

    attack: AdaptivePGD
    model: Model
    loss: Loss
    clean: Tensor
    labels: Tensor
    mask: Tensor
    dtype: torch.dtype

    def run(self, start: Tensor, found: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the changes [B, C, H, W], `found` where an image was left alone; the rows that stand, and those among
        them that ran out of steps.
        """
        change, best, found, done = start.clone(), start.clone(), found.clone(), [rows[:0]]
        step = torch.full((len(start),), 2 * self.attack.eps, device=start.device)
        first, before, highest = (torch.full_like(step, -torch.inf) for _ in range(3))
        for number in range(self.attack.steps + 1):
            if not len(rows):
                break
            here, labels = self.clean[rows] + change[rows], self.labels[rows]
            gradient, answers, losses = climbed(self.model, here, labels, self.dtype, self.loss)
            gradient, moves = gradient * self.mask[rows], torch.ones_like(answers, dtype=torch.bool)
            higher = rows[losses > highest[rows]]
            best[higher], highest[higher] = change[higher], losses[losses > highest[rows]]
            if not number:
                first[rows], before[rows] = losses, losses
            elif number % PATIENCE == 0:
                moves = highest[rows] - before[rows] > LITTLE * (highest[rows] - first[rows])
                step[rows[~moves]] /= 2
                change_back = rows[~moves & (answers == labels)]
                change[change_back] = best[change_back]
                before[rows] = highest[rows]
            stands = answers == labels
            over = (step[rows] < SMALLEST * self.attack.eps) | ~gradient.flatten(1).any(dim=1)
            found[rows] = change[rows]
            done.append(rows[stands & over])
            left = stands & ~over
            going = left & moves
            change[rows[going]] = self._moved(change[rows[going]], gradient[going], rows[going], step)
            rows = rows[left]
        return found, torch.cat([*done, rows]).sort().values, rows

    def _moved(self, change: Tensor, gradient: Tensor, rows: Tensor, step: Tensor) -> Tensor:
        norm = self.attack.norm
        ahead = change + step[rows].view(-1, 1, 1, 1) * ball.upward(gradient, norm)
        return ball.within(ahead, self.clean[rows], self.attack.eps, norm)
