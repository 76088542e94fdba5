"""Masks in files beside images: a folder of PNG files that are named like the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.image_files import opened
from overfocus.data.images import Images


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """Masks in files: pixels that are not 0 belong to the object."""

    images: Images
    paths: Sequence[str | None]
    """For each image its file; None for an empty mask."""

    def __getitem__(self, index: int, /) -> Tensor:
        path, size = self.paths[index], self.images.size(index)
        if path is None:
            return torch.zeros(size, dtype=torch.bool)
        with opened(path, path) as picture:
            mask = torch.from_numpy(np.array(picture) != 0)
        mask = mask if mask.ndim == 2 else mask.any(dim=2)
        if mask.shape != size:
            raise OverfocusError(
                f"{path}: a mask of {mask.shape[0]} x {mask.shape[1]} pixels for an image of {size[0]} x {size[1]}; "
                "masks have the size of their image"
            )
        return mask


def mask_files(folder: Path) -> list[Path]:
    """Return the masks in `folder` and below it, hidden files apart; OverfocusError where there are none."""
    files = sorted(path for path in folder.rglob("*.png") if not path.name.startswith("."))
    if not files:
        raise OverfocusError(
            f"boxes: {folder} has neither .xml nor .png files; give VOC XML, or masks named like their images"
        )
    return files
