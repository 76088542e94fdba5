"""The orders in which pixels are hidden: by a map, by its control elsewhere, at random, from the centre."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from overfocus.core.edit import elsewhere
from overfocus.core.key import Key


def orders_of(maps: Tensor, key: Key) -> Iterator[tuple[str, Tensor]]:
    """Yield each kind with the order in which it hides the pixels of `maps` [B, H, W]: [B, H W] int64, 0 first.

    key: that of the images' positions in the sample, so that an image has the same numbers in any batch.
    """
    count, height, width = maps.shape
    positions = height * width
    noise = key.fold_in("noise").uniform(count, positions)
    salient = salient_first(maps, noise)
    centred = centre_distance(height, width, maps.device).expand(count, -1)
    yield "salient", salient
    yield "blobs", elsewhere(salient.view(maps.shape), key.fold_in("elsewhere")).flatten(1)
    yield "pixels", ranks(noise, noise)
    yield "least", positions - 1 - salient
    yield "centre", ranks(centred, noise)
    yield "border", ranks(-centred, noise)


def salient_first(maps: Tensor, noise: Tensor) -> Tensor:
    """Return the order of the pixels of `maps` [B, H, W], the most salient first: [B, H W] int64; ties by `noise`."""
    return ranks(-maps.nan_to_num().flatten(1), noise)


def ranks(values: Tensor, noise: Tensor) -> Tensor:
    """Return the place of each of `values` [B, N] in ascending order; ties are broken by `noise` [B, N]."""
    shuffled = noise.argsort(dim=1)
    order = shuffled.gather(1, values.gather(1, shuffled).argsort(dim=1, stable=True))
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(1, order, places)


def centre_distance(height: int, width: int, device: torch.device) -> Tensor:
    """Return how far each pixel lies from the centre, so that equal values form boxes of the image's aspect: [H W]."""
    y = (torch.arange(height, device=device) + 0.5 - height / 2).abs() / height
    x = (torch.arange(width, device=device) + 0.5 - width / 2).abs() / width
    return torch.maximum(y[:, None], x[None]).flatten()


def hidden(pixels: Tensor, order: Tensor, share: float, fill: Tensor) -> Tensor:
    """Return `pixels` [B, C, H, W] with the first `share` of `order` [B, H W] replaced by `fill` (broadcast)."""
    height, width = pixels.shape[-2:]
    gone = (order < round(share * height * width)).view(-1, 1, height, width)
    return torch.where(gone, fill, pixels)
