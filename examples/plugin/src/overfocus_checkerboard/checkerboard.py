"""Checkerboard: hide every other cell of a grid, beginning with either colour.

Source: an example, of no paper.

Formula: x[y, x] <- 0 where (y // cell + x // cell + s) is odd; s is 0 or 1, drawn for each image.

Settings
    cell  side of a cell in pixels, an integer of at least 1
    prob  probability that an image is changed, in [0, 1]

When it does not help: half of every image is hidden, so what needs fine detail everywhere cannot be learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from overfocus import Batch, Key, Regularizer


@dataclass(frozen=True)
class Checkerboard(Regularizer):
    """Hide every other cell."""

    cell: int = 8
    prob: float = 0.5

    @property
    def fillings(self) -> frozenset[str]:
        """The mean colour, which is 0 after normalisation: comparisons with half of the object hidden leave it out."""
        return frozenset({"mean"})

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Hide cells of images [B, C, H, W]; the input is not overwritten."""
        height, width = batch.values.shape[-2:]
        uniform = key.uniform(len(batch), 2)
        applied, colour = uniform[:, 0] < self.prob, (uniform[:, 1] < 0.5).long()
        y, x = (torch.arange(side, device=batch.values.device) // self.cell for side in (height, width))
        hidden = ((y[:, None] + x + colour[:, None, None]) % 2 == 1) & applied[:, None, None]
        values = batch.values.masked_fill(hidden[:, None], 0.0)
        return replace(batch, values=values).noting(
            checkerboard_hidden=hidden.float().mean(dim=(1, 2)), checkerboard_rate=applied.float()
        )
