"""Heat maps over their images, one by one and side by side on a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.diagnosis.wording import percent
from overfocus.report.drawing.contact_sheet import Panel, contact_sheet
from overfocus.report.label import file_name

SIDE = 150
"""Pixels that the longer side of a small image is brought to, at least."""
COLOURS, STRENGTH = matplotlib.colormaps["inferno"], 0.8
"""Lightness grows with the amount; a fifth of the picture shows through even under the maximum."""
BOX = (0, 158, 115)
PARTS = ((230, 159, 0), (86, 180, 233), (204, 121, 167), (0, 114, 178), (240, 228, 66))


@dataclass(frozen=True, eq=False)
class MapPicture:
    """The heat map of one model, or of one method, over an image."""

    name: str
    """Of the model or method."""
    picture: Image.Image
    predicted: str
    confidence: float
    """The probability of `predicted`, in [0, 1]; NaN if not known."""


@dataclass(frozen=True, eq=False)
class MappedImage:
    """An image with its heat maps."""

    name: str
    true: str
    """Its class; empty if not known."""
    picture: Image.Image
    maps: tuple[MapPicture, ...]


def overlay(
    pixels: Tensor,
    map: Tensor,
    *,
    boxes: Tensor | None = None,
    parts: Mapping[str, Tensor] | None = None,
    side: int = SIDE,
    colour: bool = False,
) -> Image.Image:
    """Return the heat map `map` [h, w] over the image `pixels` [C, H, W] in [0, 1].

    The map is upsampled bilinearly and coloured from 0 to its own maximum; negative values are no evidence and have no
    colour. Of a map that is 0 everywhere or has a value that is not finite the image alone is left. The higher the
    value, the less the image shows through; the image is grey unless `colour`.
    boxes: [n, 4] (x0, y0, x1, y1) in pixels of the image, x1 and y1 excluded. parts: masks [H, W] bool, outlined.
    side: small images are enlarged by a whole factor until their longer side has this many pixels, each a square.
    """
    base = picture(pixels, side=side, colour=colour)
    amount = evidence_at(map, (base.height, base.width))[..., None]
    heat = COLOURS(amount[..., 0])[..., :3] * 255
    share = STRENGTH * np.sqrt(amount)  # half the maximum must be seen
    mixed = np.asarray(base, np.float64) * (1 - share) + heat * share
    marked = Image.fromarray(mixed.round().astype(np.uint8))
    return outlined(marked, (pixels.shape[1], pixels.shape[2]), boxes, parts)


def picture(pixels: Tensor, *, side: int = SIDE, colour: bool = True) -> Image.Image:
    """Return the image `pixels` [C, H, W] in [0, 1], at least `side` pixels long; of more channels the first three."""
    if pixels.ndim != 3:
        raise OverfocusError(f"overlay: pixels of shape {tuple(pixels.shape)}; give one image [C, H, W]")
    values = pixels.detach().float().cpu().nan_to_num().clamp(0, 1)
    values = values[:3] if len(values) >= 3 else values[:1].expand(3, -1, -1)
    if not colour:
        values = (values * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=0).expand(3, -1, -1)
    image = Image.fromarray((values * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
    factor = ceil(side / max(image.size))
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST) if factor > 1 else image


def outlined(
    image: Image.Image, size: tuple[int, int], boxes: Tensor | None = None, parts: Mapping[str, Tensor] | None = None
) -> Image.Image:
    """Return a copy of the picture `image`, whose original has `size` (H, W), with boxes and borders of parts."""
    image, factor = image.copy(), image.height / size[0]
    for number, mask in enumerate((parts or {}).values()):
        _border(image, mask, PARTS[number % len(PARTS)])
    pen = ImageDraw.Draw(image)
    for x0, y0, x1, y1 in [] if boxes is None else boxes.reshape(-1, 4).tolist():
        left, top, right, bottom = (round(each * factor) for each in (x0, y0, x1, y1))
        if right > left and bottom > top:
            pen.rectangle((left, top, right - 1, bottom - 1), outline=(0, 0, 0), width=3)
            pen.rectangle((left, top, right - 1, bottom - 1), outline=BOX, width=2)
    return image


def _border(image: Image.Image, mask: Tensor, colour: tuple[int, int, int]) -> None:
    """Draw the border of `mask` [H, W] into `image`: two pixels of `colour` inside, one of black outside."""
    marks = Image.fromarray(mask.detach().cpu().numpy().astype(np.uint8) * 255)
    inside = np.asarray(marks.resize(image.size, Image.Resampling.NEAREST)) > 0
    around = np.asarray(binary_dilation(inside), dtype=bool)
    core = np.asarray(binary_erosion(inside, iterations=2), dtype=bool)
    for part, paint in ((around & ~inside, (0, 0, 0)), (inside & ~core, colour)):
        image.paste(paint, mask=Image.fromarray(np.uint8(255 * part)))


def evidence_at(map: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return the positive part of `map` [h, w] at `size`, over its maximum: [H, W] in [0, 1]; 0 where it has none."""
    if map.ndim != 2:
        raise OverfocusError(f"overlay: a map of shape {tuple(map.shape)}; give one map [h, w]")
    values = map.detach().double().cpu().relu()
    top = float(values.max()) if values.numel() else 0.0
    if not isfinite(top) or not bool(map.isfinite().all()) or top <= 0:
        return np.zeros(size)
    upsampled = F.interpolate((values / top)[None, None], size, mode="bilinear", align_corners=False)
    return upsampled[0, 0].clamp(0, 1).numpy()


def bar() -> Image.Image:
    """Return the colours of a heat map from 0 to its maximum, left to right."""
    return Image.fromarray((COLOURS(np.linspace(0, 1, 64)[None])[..., :3] * 255).round().astype(np.uint8))


def at_most(image: Image.Image, side: int) -> Image.Image:
    """Return a copy of `image`, made smaller if it is longer than `side`."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def map_sheet(title: str, lines: Sequence[str], images: Sequence[MappedImage]) -> Image.Image:
    """Draw images side by side, each with the maps of all models or methods below it.

    All of `images` must have maps of the same models or methods, in the same order. Raises OverfocusError for none.
    """
    if not images:
        raise OverfocusError("map_sheet: there is no image to draw; give at least one")
    names = [[file_name(each.name), *filter(None, [each.true])] for each in images]
    panels = [Panel("image", [each.picture for each in images], names)]
    for number, first in enumerate(images[0].maps):
        maps = [each.maps[number] for each in images]
        captions = [[f"{percent(each.confidence)}: {each.predicted}"] for each in maps]
        panels.append(Panel(first.name, [each.picture for each in maps], captions, COLOURS))
    return contact_sheet(title, lines, panels)


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all."""
    with replacing(path) as aside:
        image.save(aside, format="PNG")
