"""An attack that sees only the model's answers: squares of one colour, kept where they help.

Since it follows no gradient, no masked gradient stops it: an image that falls to it and stood under an attack by
gradient says that the gradient misled.

Source: Square Attack, 1912.00049, for the largest change (algorithms 1 and 2). As published: vertical stripes first,
the share of a square that falls with the queries spent, and a square that is taken where the margin falls. Not as in
its code: each image gets squares of its own, and they reach the last row and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks import ball
from overfocus.diagnosis.attacks.attack import Model, margin, region_mask, steady
from overfocus.diagnosis.pixels import checked

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries: where the share of the image that a square covers is halved."""


@dataclass(frozen=True)
class Square:
    """`queries` random squares for each image, the first of which covers the share `largest` of it."""

    eps: float = 8 / 255
    queries: int = 300
    largest: float = 0.8

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return attacked images [B, C, H, W]; those that the model names otherwise are left alone."""
        clean, mask = checked(pixels, "Square"), region_mask(pixels, region)
        labels, rows = labels.to(clean.device), torch.arange(len(clean), device=clean.device)
        stripes = _signs(key.fold_in("stripes"), clean, clean.shape[-1])[:, :, None]
        change = ball.within(self.eps * stripes * mask, clean, self.eps, "linf")
        best = _margins(model, clean + change, labels, pixels.dtype)
        for query in range(self.queries):
            rows = rows[best[rows] <= 0]
            if not len(rows):
                break
            square, colour = self._square(key.fold_in(query), clean, query)
            tried = torch.where(square, self.eps * colour * mask, change)[rows]
            tried = ball.within(tried, clean[rows], self.eps, "linf")
            margins = _margins(model, clean[rows] + tried, labels[rows], pixels.dtype)
            helps = margins > best[rows]
            change[rows[helps]], best[rows[helps]] = tried[helps], margins[helps]
        return (clean + change).clamp(0, 1).to(pixels.dtype)

    def _square(self, key: Key, clean: Tensor, query: int) -> tuple[Tensor, Tensor]:
        """Draw a square [B, 1, H, W] bool for each image, and signs [B, C, 1, 1] for its colour."""
        height, width = clean.shape[-2:]
        side = min(max(round(sqrt(self._share(query) * height * width)), 1), height, width)
        place = key.fold_in("place").uniform(len(clean), 2).to(clean.device)
        y, x = ((_from(place[:, axis], size - side, size, side)) for axis, size in enumerate((height, width)))
        return (y[:, None, :, None] & x[:, None, None, :]), _signs(key.fold_in("colour"), clean, 1)[..., None]

    def _share(self, query: int) -> float:
        spent = query * 10_000 // self.queries
        return self.largest / 2 ** sum(spent > each for each in HALVED_AFTER)


def _from(chance: Tensor, most: int, size: int, side: int) -> Tensor:
    """Return where `side` of `size` positions lie that begin at one of 0 to `most`, by `chance` [B]: [B, size] bool."""
    first = (chance * (most + 1)).long()[:, None]
    place = torch.arange(size, device=chance.device)
    return (place >= first) & (place < first + side)


def _signs(key: Key, clean: Tensor, columns: int) -> Tensor:
    """Draw -1 or 1 for every channel: [B, C, columns]."""
    channels = clean.shape[1]
    chance = key.uniform(len(clean), channels * columns).view(len(clean), channels, columns)
    return torch.where(chance.to(clean.device) < 0.5, -1.0, 1.0)


def _margins(model: Model, pixels: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return how far each image is beyond the border of its label [B]; infinity where the logits hold NaN."""
    with torch.no_grad(), steady(model):
        return margin(model(pixels.to(dtype)).float(), labels).nan_to_num(nan=torch.inf)
