"""Bringing images, boxes and masks to one size, as `Preprocess` says: cut, padded or squashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from overfocus.core.deprecation import warn_renamed
from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT, Colour, Interpolation, Preprocess, Size, fitting
from overfocus.data.images import Images, Masks, PickedImages, TensorImages, WrappedImages
from overfocus.data.split import Split

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in a level of grey (ITU-R 601)."""
MODES = {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest-exact"}


def as_size(size: int | Size) -> Size:
    """Return height and width; one number means a square."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise OverfocusError(f"size {size!r}: height and width must be at least 1 pixel")
    return height, width


def fit(images: Tensor, to: Size | Preprocess, mode: str = "") -> Tensor:
    """Fit `images` [C, H, W] or [B, C, H, W], uint8, to a size (H, W), or as `to` says; see `Preprocess`.

    Images that have the size are returned as they are. mode: the old name of the interpolation.
    """
    how = fitting(to)
    if mode:
        warn_renamed("fit(mode=...)", "fit(images, Preprocess(interpolation=...))")
        how = replace(how, interpolation="nearest" if "nearest" in mode else mode)  # type: ignore[arg-type]
    colour = torch.tensor(_in_channels(how.background, images.shape[-3]), dtype=torch.uint8)
    return _fit(images, how, MODES[how.interpolation], colour[:, None, None])


def fit_mask(mask: Tensor, to: Size | Preprocess) -> Tensor:
    """Fit a bool `mask` [H, W] or [N, H, W] as `fit` does its image; each pixel takes its nearest, bars are empty."""
    rows = mask if mask.ndim == 3 else mask[None]
    empty = torch.zeros(1, 1, 1, dtype=torch.uint8)
    fitted = _fit(rows[:, None].to(torch.uint8), fitting(to), MODES["nearest"], empty)[:, 0].bool()
    return fitted if mask.ndim == 3 else fitted[0]


def _fit(images: Tensor, how: Preprocess, mode: str, colour: Tensor) -> Tensor:
    """Resize `images`, then cut out the centre; where they end before it does, lay them on the `colour` [C, 1, 1]."""
    stored, size = (images.shape[-2], images.shape[-1]), how.size
    if stored == size:
        return images
    assert size is not None
    batch, resized = images if images.ndim == 4 else images[None], how.resized(stored)
    if stored != resized:
        batch = interpolate(batch, resized, mode=mode, antialias=mode != "nearest-exact")
    top, left = _offset(resized, size)
    batch = batch[..., max(top, 0) : max(top, 0) + size[0], max(left, 0) : max(left, 0) + size[1]]
    if top < 0 or left < 0:
        laid = colour.to(batch).expand(*batch.shape[:2], *size).clone()
        laid[..., -min(top, 0) :, -min(left, 0) :][..., : batch.shape[-2], : batch.shape[-1]] = batch
        batch = laid
    # A single image is about to be copied to where it belongs; copied here, torch would call threads for it.
    return batch.contiguous() if images.ndim == 4 else batch[0]


def _offset(resized: Size, size: Size) -> tuple[int, int]:
    """Return where the centre of `size` begins in a resized image (y, x); negative where bars come before it."""
    return (resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2


def _in_channels(colour: Colour, channels: int) -> tuple[int, ...]:
    """Return a colour in 3 channels, or its grey in any other number of them."""
    grey = round(sum(weight * value for weight, value in zip(LUMA, colour, strict=True)))
    return colour if channels == 3 else (grey,) * channels


def fit_boxes(boxes: Tensor, stored: Size, to: Size | Preprocess) -> Tensor:
    """Move `boxes` [n, 4] on an image of the size `stored` to where `fit` takes them, rounded outwards.

    Boxes outside the cut are left out.
    """
    moved, seen = _moved(boxes, stored, fitting(to))
    return moved[seen]


def _moved(boxes: Tensor, stored: Size, how: Preprocess) -> tuple[Tensor, Tensor]:
    """Return the moved boxes [n, 4], and which of them are seen [n]."""
    assert how.size is not None
    resized = how.resized(stored) if stored != how.size else stored
    start = torch.tensor(_offset(resized, how.size)[::-1])
    scale = torch.tensor([resized[1] / stored[1], resized[0] / stored[0]], dtype=torch.float64)
    limit = torch.tensor([how.size[1], how.size[0]])
    low = (boxes[:, :2] * scale + 1e-9).floor().long() - start
    high = (boxes[:, 2:] * scale - 1e-9).ceil().long() - start
    moved = torch.cat((low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)), dim=1)
    return moved, (moved[:, 2:] > moved[:, :2]).all(dim=1)


@dataclass(frozen=True, eq=False)
class FittedImages(WrappedImages):
    """Images brought to one size as they are read."""

    source: Images
    to: Size | Preprocess

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "to", fitting(self.to))

    def read(self, index: int) -> Tensor:
        """Return the image, [C, H, W] uint8."""
        return fit(self.source.read_for(index, self.to), self.to)

    def size(self, index: int) -> Size:
        """Return height and width in pixels."""
        return fitting(self.to).size  # type: ignore[return-value]

    def stamp(self, index: int) -> bytes:
        """Return the stamp of the source and the size, and how it was brought to it where that is not the usual way."""
        how = fitting(self.to)
        plain = Preprocess(size=how.size)
        usual = (how.fit, how.crop_share, how.interpolation) == (plain.fit, plain.crop_share, plain.interpolation)
        special = "" if usual else f"{how.fit} {how.crop_share} {how.interpolation} {how.background}"
        return self.source.stamp(index) + f"{how.size!r}{special}".encode()


@dataclass(frozen=True, eq=False)
class FittedMasks:
    """Masks brought to one size as they are read."""

    source: Masks
    to: Preprocess

    def __getitem__(self, index: int, /) -> Tensor:
        return fit_mask(self.source[index], self.to)


def fitted(split: Split, to: Size | Preprocess) -> Split:
    """Return `split` with images, boxes and masks fitted as `fit` does; files are read later, one by one."""
    images, how = split.images, fitting(to)
    if isinstance(images, TensorImages):
        if images.size(0) == how.size or not len(images):
            return split
        pixels = torch.cat([fit(chunk, how) for chunk in images.pixels.split(1024)])
        small: Images = replace(images, pixels=pixels)
    else:
        small = FittedImages(images, how)
    boxes = None if split.boxes is None else _fitted_boxes(split.boxes, images, how)
    masks = {
        name: fit_mask(masks, how) if isinstance(masks, Tensor) else FittedMasks(masks, how)
        for name, masks in split.masks.items()
    }
    return replace(split, images=small, boxes=boxes, masks=masks)


def _fitted_boxes(boxes: Sequence[Tensor], images: Images, how: Preprocess) -> list[Tensor]:
    if not isinstance(images, TensorImages):
        return [_fitted_box(box, images, row, how) if len(box) else box for row, box in enumerate(boxes)]
    counts = [len(box) for box in boxes]
    moved, seen = _moved(torch.cat(list(boxes)), images.size(0), how)
    return [box[kept] for box, kept in zip(moved.split(counts), seen.split(counts), strict=True)]


def _fitted_box(boxes: Tensor, images: Images, row: int, how: Preprocess) -> Tensor:
    """Return the boxes of one image; none of one that cannot be read, which is told or left out where it is."""
    try:
        return fit_boxes(boxes, images.size(row), how)
    except OverfocusError:
        return boxes[:0]


def unfitted(images: Images) -> Images:
    """Return the same images at their stored sizes."""
    if isinstance(images, PickedImages):
        return PickedImages(unfitted(images.source), images.rows)
    return unfitted(images.source) if isinstance(images, FittedImages) else images


def interpolation_of(images: Images) -> Interpolation:
    """Return how stored images are resized: as the innermost of what fits them says."""
    found = DEFAULT.interpolation
    while isinstance(images, FittedImages | PickedImages):
        found = fitting(images.to).interpolation if isinstance(images, FittedImages) else found
        images = images.source
    return found
