"""Pictures in pixel space: what every probe that changes images asks of them, and draws in their shape."""

from __future__ import annotations

from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key


def checked(pixels: Tensor, where: str, least: int = 1) -> Tensor:
    """Return `pixels` [B, C, H, W] as float32 without a graph.

    Raises OverfocusError, named after `where`, unless C is 1 or 3, both sides have `least` pixels, and all values lie
    in [0, 1]. Waits for the device.
    """
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or not pixels.is_floating_point():
        raise OverfocusError(
            f"{where}: images are {pixels.dtype} of shape {tuple(pixels.shape)}; give floats [B, C, H, W] with C 1 or 3"
        )
    if min(pixels.shape[-2:]) < least:
        raise OverfocusError(f"{where}: images are {tuple(pixels.shape[-2:])} pixels; give at least {least} a side")
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise OverfocusError(
            f"{where}: some values are not in [0, 1]; give pixels as they are before normalisation, without NaN"
        )
    return pixels.detach().float()


def uniform(key: Key, like: Tensor) -> Tensor:
    """Draw from U[0, 1) in the shape of `like` [B, ...]; float32, on its device. A row is the same in any batch."""
    return key.uniform(len(like), like[:1].numel()).reshape(like.shape).to(like.device)


def normal(key: Key, like: Tensor) -> Tensor:
    """Draw from N(0, 1) in the shape of `like` [B, ...]; float32, on its device. A row is the same in any batch."""
    return key.normal(len(like), like[:1].numel()).reshape(like.shape).to(like.device)


def within(key: Key, like: Tensor, low: float, high: float) -> Tensor:
    """Draw one number from U[low, high) for every image of `like`: [B] float32, on its device."""
    return low + (high - low) * key.uniform(len(like))[:, 0].to(like.device)
