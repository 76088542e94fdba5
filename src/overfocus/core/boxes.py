"""Boxes on images: [B, 4] int64 as (x0, y0, x1, y1), x1 and y1 excluded, never outside the image."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from overfocus.core.processor import blank, by_hand

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SMALL = 48 * 48
"""Pixels of an image up to which a pass over all of them is quicker than a rectangle at 3 microseconds."""


def around(x: Tensor, y: Tensor, width: Tensor, height: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the boxes of `width` x `height` pixels around (x, y), clipped at the border of `image_size` (H, W). All
    inputs [B] int64.

    An odd width is kept exactly (halving first, as much published code does, loses a pixel); an even one lies half a
    pixel to the left.
    """
    bottom, right = image_size
    x0, y0 = x - (width >> 1), y - (height >> 1)
    edges = (x0.clamp(0, right), y0.clamp(0, bottom), (x0 + width).clamp(0, right), (y0 + height).clamp(0, bottom))
    return torch.stack(edges, dim=1)


def share(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the share of the image that each box covers: [B] float32 in [0, 1]."""
    height, width = image_size
    x0, y0, x1, y1 = boxes.unbind(1)
    return ((x1 - x0) * (y1 - y0)).float() / (height * width)


def union_share(layers: Sequence[Tensor], image_size: tuple[int, int]) -> Tensor:
    """Return the share of the image that the boxes of all `layers`, each [B, 4], cover together: [B] float32."""
    if len(layers) == 1:
        return share(layers[0], image_size)
    covered = inside(layers[0], image_size)
    for boxes in layers[1:]:
        covered = covered | inside(boxes, image_size)
    return covered.float().mean(dim=(1, 2))


def inside(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the pixels inside the boxes: [B, H, W] bool."""
    height, width = image_size
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    x = torch.arange(width, device=boxes.device)
    y = torch.arange(height, device=boxes.device)
    return ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]


def paste(images: Tensor, source: Tensor, rows: Tensor, boxes: Tensor) -> Tensor:
    """Return `images` [B, C, H, W] whose pixels inside `boxes` come from `source[rows]`; neither input is written
    to.

    On a processor rectangles are copied one by one, which touches the fewest bytes; elsewhere one masked pass is
    faster.
    """
    if by_hand(images, source):
        result = blank(images).copy_(images)
        _copy(result, source, rows.tolist(), boxes)
        return result
    return torch.where(inside(boxes, _size(images))[:, None], source[rows], images)


def fill(images: Tensor, value: Tensor, boxes: Tensor) -> Tensor:
    """Return `images` [B, C, H, W] whose pixels inside `boxes` are `value` (broadcast to the images); the input is not
    written to.
    """
    if by_hand(images, value):
        if images[0, 0].numel() <= _SMALL and not value.any():
            return _clear(images, boxes)
        result = blank(images).copy_(images)
        _copy(result, value.expand(images.shape), range(len(images)), boxes)
        return result
    return torch.where(inside(boxes, _size(images))[:, None], value, images)


def _clear(images: Tensor, boxes: Tensor) -> Tensor:
    """Return `images` with zeros inside `boxes`, in one pass over the bits, which takes little longer than a copy."""
    word = _WORDS[images.element_size()]
    height, width = _size(images)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    x, y = torch.arange(width), torch.arange(height)
    columns, rows = (x < x0) | (x >= x1), (y < y0) | (y >= y1)
    outside = rows.to(word).neg()[:, None, :, None] | columns.to(word).neg()[:, None, None, :]  # all bits are set
    result = blank(images)
    torch.bitwise_and(images.view(word), outside, out=result.view(word))
    return result


def _copy(result: Tensor, source: Tensor, rows: Iterable[int], boxes: Tensor) -> None:
    """Copy the rectangles `boxes` from `source[rows]` into `result`, both on the processor.

    NumPy needs a microsecond a slice where torch needs ten. It sees words of the right width, knowing no bfloat16.
    """
    word = _WORDS[result.element_size()]
    to, of = result.view(word).numpy(), source.to(result.dtype).view(word).numpy()
    for row, (other, (x0, y0, x1, y1)) in enumerate(zip(rows, boxes.tolist(), strict=True)):
        if x0 < x1:
            to[row, :, y0:y1, x0:x1] = of[other, :, y0:y1, x0:x1]


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
