"""Bringing images, boxes and masks to one size: resize until the shorter side fits, then cut out the centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from overfocus.core.errors import OverfocusError
from overfocus.data.images import Images, Masks, PickedImages, TensorImages, WrappedImages
from overfocus.data.split import Split

Size = tuple[int, int]
"""Height and width in pixels."""


def as_size(size: int | Size) -> Size:
    """Return height and width; one number means a square."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise OverfocusError(f"size {size!r}: height and width must be at least 1 pixel")
    return height, width


def fit(images: Tensor, size: Size, mode: str = "bilinear") -> Tensor:
    """Fit `images` [C, H, W] or [B, C, H, W], uint8, to `size` (H, W): bilinear, antialiased, then the centre.

    Images that have the size are returned as they are.
    """
    if images.shape[-2:] == size:
        return images
    batch = images if images.ndim == 4 else images[None]
    covered = cover((images.shape[-2], images.shape[-1]), size)
    if batch.shape[-2:] != covered:
        batch = interpolate(batch, covered, mode=mode, antialias=mode == "bilinear")
    top, left = (covered[0] - size[0]) // 2, (covered[1] - size[1]) // 2
    batch = batch[..., top : top + size[0], left : left + size[1]]
    # A single image is about to be copied to where it belongs; copied here, torch would call threads for it.
    return batch.contiguous() if images.ndim == 4 else batch[0]


def fit_mask(mask: Tensor, size: Size) -> Tensor:
    """Fit a bool `mask` [H, W] or [N, H, W] to `size` as `fit` does its image; each pixel takes its nearest."""
    rows = mask if mask.ndim == 3 else mask[None]
    fitted = fit(rows[:, None].to(torch.uint8), size, mode="nearest-exact")[:, 0].bool()
    return fitted if mask.ndim == 3 else fitted[0]


def fit_boxes(boxes: Tensor, stored: Size, size: Size) -> Tensor:
    """Move `boxes` [n, 4] on an image of the size `stored` to where `fit` takes them, rounded outwards.

    Boxes outside the cut are left out.
    """
    moved, seen = _moved(boxes, stored, size)
    return moved[seen]


def _moved(boxes: Tensor, stored: Size, size: Size) -> tuple[Tensor, Tensor]:
    """Return the moved boxes [n, 4], and which of them are seen [n]."""
    covered = cover(stored, size)
    start = torch.tensor([(covered[1] - size[1]) // 2, (covered[0] - size[0]) // 2])
    scale = torch.tensor([covered[1] / stored[1], covered[0] / stored[0]], dtype=torch.float64)
    limit = torch.tensor([size[1], size[0]])
    low = (boxes[:, :2] * scale + 1e-9).floor().long() - start
    high = (boxes[:, 2:] * scale - 1e-9).ceil().long() - start
    moved = torch.cat((low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)), dim=1)
    return moved, (moved[:, 2:] > moved[:, :2]).all(dim=1)


def cover(stored: Size, size: Size) -> Size:
    """Return the smallest size with the aspect of `stored` that covers `size`."""
    (height, width), (rows, columns) = stored, size
    if rows * width >= columns * height:
        return rows, max(columns, round(width * rows / height))
    return max(rows, round(height * columns / width)), columns


@dataclass(frozen=True, eq=False)
class FittedImages(WrappedImages):
    """Images brought to one size as they are read."""

    source: Images
    to: Size

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return fit(self.source.read_for(index, self.to), self.to)

    def size(self, index: int) -> Size:
        """Return height and width in pixels."""
        return self.to

    def stamp(self, index: int) -> bytes:
        """Return the stamp of the source and the size."""
        return self.source.stamp(index) + repr(self.to).encode()


@dataclass(frozen=True, eq=False)
class FittedMasks:
    """Masks brought to one size as they are read."""

    source: Masks
    to: Size

    def __getitem__(self, index: int, /) -> Tensor:
        return fit_mask(self.source[index], self.to)


def fitted(split: Split, size: Size) -> Split:
    """Return `split` with images, boxes and masks brought to `size`; files are read later, one by one."""
    images = split.images
    if isinstance(images, TensorImages):
        if images.size(0) == size or not len(images):
            return split
        pixels = torch.cat([fit(chunk, size) for chunk in images.pixels.split(1024)])
        small: Images = replace(images, pixels=pixels)
    else:
        small = FittedImages(images, size)
    boxes = None if split.boxes is None else _fitted_boxes(split.boxes, images, size)
    masks = {
        name: fit_mask(masks, size) if isinstance(masks, Tensor) else FittedMasks(masks, size)
        for name, masks in split.masks.items()
    }
    return replace(split, images=small, boxes=boxes, masks=masks)


def _fitted_boxes(boxes: Sequence[Tensor], images: Images, size: Size) -> list[Tensor]:
    if not isinstance(images, TensorImages):
        return [_fitted_box(box, images, row, size) if len(box) else box for row, box in enumerate(boxes)]
    counts = [len(box) for box in boxes]
    moved, seen = _moved(torch.cat(list(boxes)), images.size(0), size)
    return [box[kept] for box, kept in zip(moved.split(counts), seen.split(counts), strict=True)]


def _fitted_box(boxes: Tensor, images: Images, row: int, size: Size) -> Tensor:
    """Return the boxes of one image; none of one that cannot be read, which is told or left out where it is."""
    try:
        return fit_boxes(boxes, images.size(row), size)
    except OverfocusError:
        return boxes[:0]


def unfitted(images: Images) -> Images:
    """Return the same images at their stored sizes."""
    if isinstance(images, PickedImages) and isinstance(images.source, FittedImages):
        return PickedImages(images.source.source, images.rows)
    return images.source if isinstance(images, FittedImages) else images
