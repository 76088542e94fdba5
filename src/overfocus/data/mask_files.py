"""Masks in files: where an object is, turned as its image is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT, Orientation
from overfocus.data.image_files import opened
from overfocus.data.images import Images
from overfocus.data.mask_labels import BORDER, BORDER_COLOUR, LOSSY
from overfocus.data.orientation import turn_left, turned
from overfocus.data.suffixes import is_picture


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """Masks in files: pixels that are neither 0 nor transparent belong to the object; nor do those of 255 where that is
    a `border`.
    """

    images: Images
    paths: Sequence[str | None]
    """For each image its file; None for an empty mask."""
    orientation: Orientation = DEFAULT.orientation
    border: bool = False

    def __getitem__(self, index: int, /) -> Tensor:
        path, size = self.paths[index], self.images.size(index)
        if path is None:
            return torch.zeros(size, dtype=torch.bool)
        mask = read_mask(path, self.orientation, self.border)
        if mask.shape != size:
            header = self.images.header(index)
            hint = " (the image has an EXIF turn; see --orientation)" if header and header.turn != 1 else ""
            raise OverfocusError(
                f"{path}: a mask of {mask.shape[0]} x {mask.shape[1]} pixels for an image of {size[0]} x {size[1]}"
                f"{hint}; masks have the size of their image"
            )
        return mask


def read_mask(path: str, orientation: Orientation = DEFAULT.orientation, border: bool = False) -> Tensor:
    """Return where the mask in a file has its object: bool [H, W].

    Alpha is no object by itself: it only takes transparent pixels away. Raises OverfocusError for a file whose shape
    lies in its alpha alone, on black, and for one that is grey in a lossy format, since neither says what is meant.
    """
    with opened(path, path) as picture:
        turn, kind = turn_left(picture, orientation), picture.format
        alpha = _alpha(picture)
        values = _values(picture)
        inside = values >= 128 if kind in LOSSY else values != 0  # lossy formats leave traces around an object
        mask = inside & (alpha > 0)
        if border:
            mask &= ~_borders(picture, values)
        if not mask.any() and not border:
            _check_empty(path, values, alpha)
        flat = turned(Image.fromarray(mask.astype(np.uint8)), turn)
    return torch.from_numpy(np.array(flat) != 0)


def _alpha(picture: Image.Image) -> np.ndarray:
    if not picture.has_transparency_data:
        return np.full((picture.height, picture.width), 255, dtype=np.uint8)
    return np.asarray(picture.convert("RGBA").getchannel("A"))


def _values(picture: Image.Image) -> np.ndarray:
    """Return the largest of each pixel's colours, or its number in a palette: [H, W]."""
    values = np.asarray(picture.convert("RGB") if picture.mode in ("PA", "CMYK", "YCbCr") else picture)
    if values.ndim == 2:
        return values
    colours = values.shape[2] - (picture.mode in ("LA", "La", "RGBA", "RGBa"))
    return values[..., :colours].max(axis=2)


def _borders(picture: Image.Image, values: np.ndarray) -> np.ndarray:
    """Return where a mask has the label of borders, or the colour that VOC's palette gives it: bool [H, W]."""
    if picture.mode not in ("RGB", "RGBA"):
        return values == BORDER
    return (np.asarray(picture)[..., :3] == BORDER_COLOUR).all(axis=2)


def _check_empty(path: str, values: np.ndarray, alpha: np.ndarray) -> None:
    """Refuse a mask without an object that seems to have one."""
    if alpha.min() < alpha.max():
        raise OverfocusError(f"{path}: a mask that is black where it is not transparent; save it as white on black")
    if values.any() and alpha.any():
        raise OverfocusError(f"{path}: a grey mask in a lossy format, which blurs its labels; save it as PNG")


def mask_files(folder: Path) -> list[Path]:
    """Return the masks in `folder` and below it, hidden files apart; OverfocusError where there are none."""
    files = sorted(path for path in folder.rglob("*") if is_picture(path.name) and not path.name.startswith("."))
    files = [path for path in files if path.is_file()]
    if not files:
        raise OverfocusError(
            f"boxes: {folder} has neither .xml nor picture files; give VOC XML, or masks named like their images"
        )
    return files
