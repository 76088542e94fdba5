"""Images of nothing: sets without any class, on which a classifier should not be sure.

`uniform`: every value from U[0, 1). `gaussian`: every value from N(0.5, 1), clipped (both as in ODIN, 1706.02690).
`constant`: one colour. `shuffled`: the image's own pixels, in an order of its own; all colours, no form. `phase`: the
image's own amplitudes of frequency with random phases, the same shift in each channel, clipped; its texture without its
outlines. `blobs`: spots with sharp edges (after 1812.04606): each value is 1 with probability 0.7, smoothed with a
sigma of 1.5/32 of the short side, and set to 0 below 0.75.
The further such a set is from photographs the easier it is; add data of other classes before saying much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from overfocus.core.errors import UnknownName
from overfocus.core.key import Key
from overfocus.diagnosis import pixels as pictures
from overfocus.diagnosis.corruptions.blur import smooth


def noise(name: str, like: Tensor, key: Key) -> Tensor:
    """Return the noise `name` in the shape and type of the images `like` [B, C, H, W] in [0, 1]; values in [0, 1].

    Each image has its own draws, whatever its batch. Raises UnknownName, and OverfocusError for images out of range.
    """
    if name not in NOISES:
        raise UnknownName("noise", name, NOISES)
    images = pictures.checked(like, f"noise {name}")
    return NOISES[name](images, key.fold_in(name)).clamp(0, 1).to(like.dtype)


def uniform(like: Tensor, key: Key) -> Tensor:
    """Draw every value from U[0, 1): [B, C, H, W]."""
    return pictures.uniform(key, like)


def gaussian(like: Tensor, key: Key) -> Tensor:
    """Draw every value from N(0.5, 1), clipped to [0, 1]: [B, C, H, W]."""
    return (0.5 + pictures.normal(key, like)).clamp(0, 1)


def constant(like: Tensor, key: Key) -> Tensor:
    """Draw one colour for each image: [B, C, H, W]."""
    return pictures.uniform(key, like[:, :, :1, :1]).expand(like.shape).clone()


def shuffled(like: Tensor, key: Key) -> Tensor:
    """Put the pixels of each image [B, C, H, W] in a random order; the channels of a pixel stay together."""
    order = pictures.uniform(key, like[:, 0]).flatten(1).argsort(dim=1, stable=True)
    return like.flatten(2).gather(2, order[:, None].expand(-1, like.shape[1], -1)).reshape(like.shape)


def phase(like: Tensor, key: Key) -> Tensor:
    """Turn the phases of each image [B, C, H, W] by those of noise, and clip to [0, 1]; the mean of a channel stays but
    for the clipping.
    """
    # The phases of a real image have the symmetry that keeps the result real.
    turn = torch.fft.rfft2(pictures.uniform(key, like[:, :1])).angle()
    turned = torch.fft.rfft2(like) * torch.polar(torch.ones_like(turn), turn)
    return torch.fft.irfft2(turned, s=like.shape[-2:]).clamp(0, 1)


def blobs(like: Tensor, key: Key) -> Tensor:
    """Make spots with sharp edges: [B, C, H, W], each value 0 or at least 0.75."""
    spots = (pictures.uniform(key, like) < 0.7).float()
    soft = smooth(spots, 1.5 * min(like.shape[-2:]) / 32, border="reflect")
    return torch.where(soft < 0.75, 0.0, soft)


NOISES = {each.__name__: each for each in (uniform, gaussian, constant, shuffled, phase, blobs)}
"""Name -> function of (images [B, C, H, W] float32 in [0, 1], draw)."""
