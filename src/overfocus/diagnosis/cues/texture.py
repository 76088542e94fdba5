"""What pieces of a picture show, wherever they are: its cells on a 4 x 4 grid, shuffled. The form is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.diagnosis.cue import Cue, MarkedPictures


@dataclass(frozen=True)
class Texture(Cue):
    """Cells in a random order."""

    kind: ClassVar[str] = "texture"
    order: ClassVar[int] = 6
    cells: int = 4
    """Along either axis, at most as many as there are pixels."""

    @property
    def title(self) -> str:
        """What it is."""
        return f"texture, {self.cells} x {self.cells} pieces shuffled"

    def only(self, pictures: MarkedPictures) -> Tensor:
        """Shuffle the cells; pixels that fill no cell, at the lower and right edge, stay."""
        pixels = pictures.pixels
        count, channels, height, width = pixels.shape
        rows, columns = min(self.cells, height), min(self.cells, width)
        down, along = height // rows, width // columns
        inside = pixels[..., : rows * down, : columns * along]
        pieces = inside.reshape(count, channels, rows, down, columns, along).permute(0, 2, 4, 1, 3, 5)
        pieces = pieces.reshape(count, rows * columns, -1)
        draws = pictures.key.fold_in(self.kind).uniform(count, rows * columns).to(pixels.device)
        order = draws.argsort(dim=1, stable=True)[:, :, None].expand_as(pieces)
        mixed = pieces.gather(1, order).reshape(count, rows, columns, channels, down, along)
        result = pixels.clone()
        result[..., : rows * down, : columns * along] = mixed.permute(0, 3, 1, 4, 2, 5).reshape(inside.shape)
        return torch.clamp(result, 0, 1)
