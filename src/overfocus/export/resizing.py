"""Resizing inside an exported program: what `data.resize.fit` does to a picture, as two matrices.

An antialiased resize is linear and separable: rows @ picture @ columns^T, each matrix made of the filter's weights, and
a cut of the centre leaves out some of its rows. Written so, it needs no branch on a picture's size, which programs
cannot have, and no operator whose rounding differs between runtimes. `fit` rounds to 8 bits at the end and once before;
this does not, so both differ by a level of 255 at most.
"""

from __future__ import annotations

from math import floor

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess


class Fitting(nn.Module):
    """Pixels [B, C, H, W] in [0, 1] of any size in, pixels of the size of a `Preprocess` out, as `fit` brings them."""

    def __init__(self, how: Preprocess, channels: int) -> None:
        super().__init__()
        if how.size is None:
            raise OverfocusError("export: the run says no size that pictures are brought to; train it again")
        self.how, self.height, self.width = how, *how.size
        self.whole = tuple(floor(side / how.crop_share) for side in how.size)
        colour = torch.tensor(how.background).float() / 255
        grey = colour @ torch.tensor([0.299, 0.587, 0.114])
        self.colour: Tensor
        self.register_buffer("colour", (colour if channels == 3 else grey.expand(channels))[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pixels [B, C, height, width]."""
        height, width = (torch.ones_like(side).sum() for side in (pixels[0, 0, :, 0], pixels[0, 0, 0, :]))
        rows, columns = self._resized(height, width)
        down, seen_down = self._matrix(pixels.shape[2], height, rows, self.height)
        across, seen_across = self._matrix(pixels.shape[3], width, columns, self.width)
        seen = seen_down[:, None] * seen_across
        return (down @ pixels @ across.T).clamp(0, 1) * seen + self.colour * (1 - seen)

    def _resized(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `Preprocess.resized` does, and the stored size where that is the wanted one already."""
        rows, columns = (torch.full_like(height, side) for side in self.whole)
        tall = rows * width >= columns * height
        rows_then, columns_then = (height * columns / width).round(), (width * rows / height).round()
        if self.how.fit == "crop":
            found = (
                torch.where(tall, rows, rows_then.maximum(rows)),
                torch.where(tall, columns_then.maximum(columns), columns),
            )
        elif self.how.fit == "pad":
            found = (
                torch.where(tall, rows_then.minimum(rows).clamp(min=1), rows),
                torch.where(tall, columns, columns_then.minimum(columns).clamp(min=1)),
            )
        else:
            found = rows, columns
        kept = (height == self.height) & (width == self.width)
        return torch.where(kept, height, found[0]), torch.where(kept, width, found[1])

    def _matrix(self, count: int, stored: Tensor, resized: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        """Return the weights [wanted, count] of the stored pixels, and which of the wanted ones lie on the picture."""
        place = torch.arange(wanted, device=stored.device) + ((resized - wanted) / 2).floor()
        scale = stored / resized
        centre = ((place + 0.5) * scale)[:, None]
        pixel = torch.arange(count, device=stored.device)
        if self.how.interpolation == "nearest":
            weights = (pixel == centre.floor().minimum(stored - 1)).to(stored)
        else:
            weights = self._filter(((pixel + 0.5 - centre) / scale.clamp(min=1)).abs())
            weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
        return weights, ((place >= 0) & (place < resized)).to(stored)

    def _filter(self, x: Tensor) -> Tensor:
        """Return the weight at a distance of `x` pixels; the cubic is Keys' (1981) with a = -0.5, as Pillow's."""
        if self.how.interpolation == "bilinear":
            return (1 - x).clamp(min=0)
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
