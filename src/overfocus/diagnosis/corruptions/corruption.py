"""Common corruptions made on the fly: 15 kinds at 5 severities (Hendrycks & Dietterich, 1903.12261).

The package `imagecorruptions` 1.1.2 does not fit: its fog and glass blur fail on NumPy 2 and on current scikit-image,
has only the constants for 224 pixels, and draws from NumPy's global state. So these are written for whole batches.

Constants are the published ones: those of CIFAR-10-C where the short side is below 96 pixels, those of ImageNet-C from
96 on. Lengths are in pixels and not scaled with the image, but for the elastic transform, where they are shares of it.
What this makes is not CIFAR-10-C or ImageNet-C, and must not be reported under those names: frost is drawn and not
photographed, values are not rounded to 8 bits nor stored as JPEG, and the random numbers are others. An image has the
same random numbers at all severities, which makes differences between severities surer. The published severities order
how hard an image is to name; by pixels, glass, snow, frost, fog, elastic and pixelate do not always change more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import floor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.diagnosis.corruptions import blur, weather
from overfocus.diagnosis.corruptions import sensor_noise as grain
from overfocus.diagnosis.corruptions.blur import smooth
from overfocus.diagnosis.pixels import checked, uniform

SEVERITIES = (1, 2, 3, 4, 5)
LARGE, LEAST = 96, 8
"""Short sides in pixels: from where on the constants for 224 pixels hold, and the least that there is to corrupt."""


def brightness(pixels: Tensor, key: Key, amount: float) -> Tensor:
    """Add `amount` to the V of HSV, which scales all channels of a pixel alike; black becomes grey."""
    value = pixels.amax(dim=1, keepdim=True)
    raised = (value + amount).clamp(max=1)
    return torch.where(value > 0, pixels * (raised / value.clamp(min=torch.finfo(torch.float32).tiny)), raised)


def contrast(pixels: Tensor, key: Key, kept: float) -> Tensor:
    """Keep the share `kept` of the distance to each channel's mean."""
    mean = pixels.mean(dim=(2, 3), keepdim=True)
    return mean + kept * (pixels - mean)


def pixelate(pixels: Tensor, key: Key, size: float) -> Tensor:
    """Shrink by `size` and enlarge again, both with Pillow's box filter: blocks of even colour."""
    down, along = (_blocks(each, int(each * size)).to(pixels) for each in pixels.shape[-2:])
    return down @ pixels @ along.T


def _blocks(size: int, cells: int) -> Tensor:
    """Return the matrix [size, size] that shrinks a line to `cells` and enlarges it.

    A cell is the mean of the pixels whose centres lie in it, and goes to the pixels whose centres it holds. A centre on
    the edge of two cells is in the first; Pillow leaves that to its rounding.
    """
    shrink = torch.zeros(cells, size)
    for cell in range(cells):
        low, high = floor(cell * size / cells + 0.5), floor((cell + 1) * size / cells + 0.5)
        shrink[cell, low:high] = 1 / (high - low)
    nearest = ((torch.arange(size) + 0.5) * cells / size).long()
    return shrink[nearest]


def jpeg(pixels: Tensor, key: Key, quality: int) -> Tensor:
    """Encode as JPEG by Pillow and decode, on the processor and image by image, as there is no encoder for batches."""
    arrays = (255 * pixels).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.stack([_encoded(each, quality) for each in arrays])
    return torch.from_numpy(decoded).to(pixels).reshape(arrays.shape).permute(0, 3, 1, 2) / 255


def _encoded(array: np.ndarray, quality: int) -> np.ndarray:
    """Return `array` [H, W, C] uint8 as it comes back from JPEG: [H, W, C], or [H, W] where it is grey."""
    file = BytesIO()
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def elastic(pixels: Tensor, key: Key, strength: float, sigma: float, shift: float) -> Tensor:
    """Move three points of the image by up to `shift` and bend it by smoothed noise; all shares of the short side."""
    side = min(pixels.shape[-2:])
    affine = _sampled(pixels, _affine(pixels, key.fold_in("points"), shift * side), mirror=True)
    noise = 2 * uniform(key.fold_in("bend"), pixels[:, :1].expand(-1, 2, -1, -1)) - 1
    bend = strength * side * smooth(noise, sigma * side, truncate=3, border="reflect")
    return _sampled(affine, _grid(pixels) + bend, mirror=False)


def _affine(pixels: Tensor, key: Key, shift: float) -> Tensor:
    """Return where each pixel comes from, [B, 2, H, W] as x and y, when three corners of a middle square move."""
    height, width = pixels.shape[-2:]
    reach = min(height, width) // 3
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]) * reach + torch.tensor([width // 2, height // 2])
    corners = corners.to(pixels).expand(len(pixels), -1, -1)
    moved = corners + shift * (2 * uniform(key, corners) - 1)
    back = torch.linalg.solve(F.pad(moved, (0, 1), value=1.0), corners)  # [B, 3, 2]
    return torch.einsum("chw,bcd->bdhw", F.pad(_grid(pixels), (0, 0, 0, 0, 0, 1), value=1.0), back)


def _grid(pixels: Tensor) -> Tensor:
    """Return the x and y of every pixel: [2, H, W]."""
    y, x = (torch.arange(each, device=pixels.device, dtype=torch.float32) for each in pixels.shape[-2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _sampled(pixels: Tensor, at: Tensor, mirror: bool) -> Tensor:
    """Return images sampled `at` x and y [B, 2, H, W], linear in between; beyond the edge `mirror` sees it once, else
    twice.
    """
    height, width = pixels.shape[-2:]
    size = torch.tensor([width, height]).to(pixels).view(1, 2, 1, 1)
    scaled = 2 * at / (size - 1) - 1 if mirror else (2 * at + 1) / size - 1
    return F.grid_sample(pixels, scaled.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=mirror)


@dataclass(frozen=True)
class Corruption:
    """A function of (pixels, draw, constants) with its constants at severities 1 to 5, for small and large images."""

    apply: Callable[..., Tensor]
    small: tuple[tuple[Any, ...], ...]
    large: tuple[tuple[Any, ...], ...]

    def __call__(self, pixels: Tensor, severity: int, key: Key) -> Tensor:
        """Return `pixels` [B, C, H, W] float32 in [0, 1], corrupted, clipped to [0, 1]."""
        constants = self.small if min(pixels.shape[-2:]) < LARGE else self.large
        return self.apply(pixels, key, *constants[severity - 1]).clamp(0, 1)


def _each(*constants: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple((each,) for each in constants)


def _shares(pixels_of: int, written: float, *rows: tuple[float, float, float]) -> tuple[tuple[float, ...], ...]:
    """Return constants that were `written` as shares of one length and used on images of `pixels_of` pixels."""
    return tuple(tuple(each * written / pixels_of for each in row) for row in rows)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(
        grain.gaussian, _each(0.04, 0.06, 0.08, 0.09, 0.1), _each(0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "shot_noise": Corruption(grain.shot, _each(500, 250, 100, 75, 50), _each(60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(
        grain.impulse, _each(0.01, 0.02, 0.03, 0.05, 0.07), _each(0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "defocus_blur": Corruption(
        blur.defocus,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": Corruption(
        blur.glass,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Corruption(
        blur.motion,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": Corruption(
        blur.zoom,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": Corruption(
        weather.snow,
        (
            (0.1, 0.2, 1, 0.6, (8, 3), 0.95),
            (0.1, 0.2, 1, 0.5, (10, 4), 0.9),
            (0.15, 0.3, 1.75, 0.55, (10, 4), 0.9),
            (0.25, 0.3, 2.25, 0.6, (12, 6), 0.85),
            (0.3, 0.3, 1.25, 0.65, (14, 12), 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, (10, 4), 0.8),
            (0.2, 0.3, 2, 0.5, (12, 4), 0.7),
            (0.55, 0.3, 4, 0.9, (12, 8), 0.7),
            (0.55, 0.3, 4.5, 0.85, (12, 8), 0.65),
            (0.55, 0.3, 2.5, 0.85, (12, 12), 0.55),
        ),
    ),
    "frost": Corruption(
        weather.frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": Corruption(
        weather.fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Corruption(brightness, _each(0.05, 0.1, 0.15, 0.2, 0.3), _each(0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Corruption(contrast, _each(0.75, 0.5, 0.4, 0.3, 0.15), _each(0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic": Corruption(
        elastic,
        _shares(32, 32, (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        # The published code writes 244 for its images of 224 pixels.
        _shares(224, 244, (2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "pixelate": Corruption(pixelate, _each(0.95, 0.9, 0.85, 0.75, 0.65), _each(0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": Corruption(jpeg, _each(80, 65, 58, 50, 40), _each(25, 18, 15, 10, 7)),
}
"""Name -> function of (pixels [B, C, H, W] float32 in [0, 1], severity 1 to 5, draw), in the order of the paper."""


def corrupted(name: str, pixels: Tensor, severity: int, key: Key) -> Tensor:
    """Return `pixels` [B, C, H, W] in [0, 1] under the corruption `name` at `severity` 1 (least) to 5; same type.

    C is 1 or 3 and a side has at least 8 pixels. What an image becomes does not depend on its batch: give
    `Key(first_row=...)` for batches after the first. Raises UnknownName for another name, OverfocusError for another
    severity or images out of range.
    """
    if name not in CORRUPTIONS:
        raise UnknownName("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise OverfocusError(f"corruption {name}: severity is {severity}; take 1, 2, 3, 4 or 5")
    images = checked(pixels, f"corruption {name}", LEAST)
    return CORRUPTIONS[name](images, severity, key.fold_in(name)).to(pixels.dtype)
