"""How the values of a layer lie over the image: channels first, channels last, or tokens in reading order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, log
from typing import Literal

import torch
from torch import Tensor, nn

Order = Literal["channels first", "channels last", "tokens"]
Size = tuple[int, int]
PREFIX = 16
"""Most tokens before the positions (class, distillation, registers) that are taken for such where the size of a patch
is not known."""


@dataclass(frozen=True)
class Grid:
    """The positions of a layer: `height` x `width` of them, and where they stand among its values."""

    order: Order
    height: int
    width: int
    prefix: int = 0
    """Tokens before the positions, such as the class token, which lie nowhere on the image."""

    @property
    def positions(self) -> int:
        """The number of places on the image."""
        return self.height * self.width

    def shaped(self, values: Tensor) -> Tensor:
        """Return the layer's `values` as [B, C, h, w], prefix tokens left out."""
        if self.order == "channels first":
            return values
        if self.order == "channels last":
            return values.permute(0, 3, 1, 2)
        tokens = values[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], self.height, self.width)

    def laid_out(self, features: Tensor) -> Tensor:
        """Return `features` [B, C, h, w], of any size, in the layer's own order, with ones as prefix tokens."""
        if self.order == "channels first":
            return features
        if self.order == "channels last":
            return features.permute(0, 2, 3, 1)
        tokens = features.flatten(2).transpose(1, 2)
        return torch.cat((tokens.new_ones(len(tokens), self.prefix, tokens.shape[2]), tokens), dim=1)


@dataclass(frozen=True)
class ImageShape:
    """What is known of a batch and its model when the shape of a layer is read."""

    count: int
    size: Size
    patch: Size | None

    @staticmethod
    def of(images: Tensor, model: nn.Module) -> ImageShape:
        """Describe `images` [B, C, H, W]."""
        return ImageShape(len(images), (images.shape[2], images.shape[3]), patch_of(model))

    def grid(self, values: Tensor) -> Grid | None:
        """Read the values of a layer; None where they are no grid with a row for every image."""
        return grid_of(tuple(values.shape), self.size, self.patch) if values.shape[:1] == (self.count,) else None


def grid_of(shape: tuple[int, ...], image: Size, patch: Size | None = None) -> Grid | None:
    """Read the output shape of a layer, [B, C, h, w], [B, h, w, C] or [B, N, D], for images of size (H, W).

    Of [B, a, b, c] the two whose aspect is nearest to the image's are the grid. Of [B, N, D] the grid is the image in
    patches of size `patch`, or else the one of the image's aspect that leaves the fewest tokens before it. None where
    neither fits, as for [B, heads, N, d] and [B, D].
    """
    if len(shape) == 4:
        return _of_map(shape, image)
    return _of_tokens(shape[1], image, patch) if len(shape) == 3 else None


def patch_of(model: nn.Module) -> Size | None:
    """Return the size of the patches that the first convolution of `model` cuts the image into; None if it does not."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride or max(first.stride) == 1:
        return None
    return first.stride[0], first.stride[1]


def _of_map(shape: tuple[int, ...], image: Size) -> Grid | None:
    first, last = Grid("channels first", *shape[2:]), Grid("channels last", *shape[1:3])
    grid = last if _distance(last, image) < _distance(first, image) else first
    return grid if _distance(grid, image) <= log(2) or _rounds_to(grid, image) else None


def _distance(grid: Grid, image: Size) -> float:
    """Return how far the aspects are apart, as |log ratio|."""
    if not grid.positions:
        return inf
    return abs(log(grid.height / grid.width) - log(image[0] / image[1]))


def _rounds_to(grid: Grid, image: Size) -> bool:
    """Whether rounding each side by less than a position could give the image's aspect: 2 x 1 is one of 20 x 17."""
    low = (grid.height - 1) / (grid.width + 1)
    high = (grid.height + 1) / (grid.width - 1) if grid.width > 1 else inf
    return low < image[0] / image[1] < high


def _of_tokens(count: int, image: Size, patch: Size | None) -> Grid | None:
    if patch:
        height, width = image[0] // patch[0], image[1] // patch[1]
        if 0 <= count - height * width < height * width:
            return Grid("tokens", height, width, count - height * width)
    fitting = [(count - h * w, h, w) for h, w in _grids(image) if 0 <= count - h * w <= min(PREFIX, h * w - 1)]
    if not fitting:
        return None
    prefix, height, width = min(fitting)
    return Grid("tokens", height, width, prefix)


def _grids(image: Size) -> Iterator[Size]:
    """Yield the grids of square patches on the image, with the last patch left out or filled up."""
    for side in range(1, max(image) + 1):
        yield max(image[0] // side, 1), max(image[1] // side, 1)
        yield -(-image[0] // side), -(-image[1] // side)
