"""Cutout: hide a random square of the image.

Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (1708.04552).

Formula: a square of `size` pixels around a centre uniform over all pixels, clipped at the border, is set to `fill`.

Settings
    size   side of the square: whole pixels (16), a share of the shorter side (0.5), or a range (20, 40) from which each
           image draws its own
    fill   `zero` (after normalization: the data set's mean), `mean` (the image's own, by channel), `noise` (N(0, 1)),
           or a number
    holes  how many squares for each image; they may overlap
    prob   share of the images (or batches) that are cut
    per    `image`: every image has its own coin; `batch`: one coin for all. Squares are always each image's own.
    at     `image`, `features` (the objective's cut) or a layer's name

The paper uses 16 of 32 pixels on CIFAR-10, 8 on CIFAR-100, 20 on SVHN, one hole, always. Clipping makes the hidden area
smaller than its nominal share: 19 % instead of 25 % for 16 of 32 pixels.

When it does not help: beside other regularizers and on well-tuned networks published gains are small or absent; it does
not help against common corruptions. With 100 images a class it cost 2.4 [0.9, 3.9] points on Fashion-MNIST (60 epochs,
n = 5) and gained nothing on CIFAR-10 (JPEG q75; -1.9 [-3.9, 0.2] after 40 epochs, n = 5; 0.0 [-1.9, 1.9] after 120, n =
4). What it does buy is accuracy with holes in the centre: docs/evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from overfocus.core import boxes
from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.regularizers.regularizer import (
    IMAGE,
    SettingError,
    Transform,
    applies,
    check_choice,
    check_range,
    map_size,
    range_of,
    where_applied,
)


@dataclass(frozen=True)
class Cutout(Transform):
    """Hide squares of the image."""

    filling = "mean"
    size: float | tuple[float, float] = 0.5
    fill: Literal["zero", "mean", "noise"] | float = "zero"
    holes: int = 1
    prob: float = 1.0
    per: Literal["image", "batch"] = "image"
    at: str = IMAGE

    def __post_init__(self) -> None:
        low, high = range_of(self, "size")
        if not 0 < low <= high:
            raise SettingError(f"cutout: size={self.size!r} must be above 0, or a range (smallest, largest)")
        if isinstance(self.fill, str):
            check_choice(self, "fill", ("zero", "mean", "noise"))
        check_range(self, "holes", 1, 1000)
        check_range(self, "prob", 0, 1)
        check_choice(self, "per", ("image", "batch"))

    @property
    def fillings(self) -> frozenset[str]:
        """Noise where that is its `fill`, else an even colour."""
        return frozenset({"noise"}) if self.fill == "noise" and self.at == IMAGE else super().fillings

    def act(self, batch: Batch, key: Key) -> Batch:
        """Cut images [B, C, H, W] or feature maps [B, C, h, w]."""
        image_size = map_size(self, batch.values)
        cut = applies(key, key.uniform(len(batch))[:, 0], self.prob, self.per)
        value = self._value(batch.values, key)
        squares = [self._squares(key.fold_in(hole).uniform(len(batch), 3), image_size) for hole in range(self.holes)]
        squares = [square * cut[:, None] for square in squares]
        values = batch.values
        for square in squares:
            values = boxes.fill(values, value, square)
        area = boxes.union_share(squares, image_size)
        return replace(batch, values=values).noting(cutout_hidden=where_applied(cut, area), cutout_rate=cut.float())

    def _squares(self, uniform: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Turn draws [B, 3] from U[0, 1) into boxes [B, 4]."""
        size, x, y = uniform.unbind(1)
        low, high = (
            int(side if side > 1 or side == int(side) else side * min(image_size)) for side in range_of(self, "size")
        )
        side = low + (size * (high - low + 1)).long()
        height, width = image_size
        return boxes.around((x * width).long(), (y * height).long(), side, side, image_size)

    def _value(self, values: Tensor, key: Key) -> Tensor:
        """Return what the squares are filled with, broadcast to `values`."""
        if self.fill == "mean":
            return values.float().mean(dim=(2, 3), keepdim=True).to(values.dtype)
        if self.fill == "noise":
            return key.fold_in("noise").normal(len(values), values[0].numel()).reshape(values.shape).to(values.dtype)
        number = 0.0 if self.fill == "zero" else float(self.fill)
        return torch.full((1, 1, 1, 1), number, dtype=values.dtype, device=values.device)
