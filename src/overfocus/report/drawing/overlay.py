"""Heat maps over the images that they are of, one by one and side by side on a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.report.drawing.canvas import Panel, SheetRow, paint, readable

SIDE = 150
"""Pixels that the longer side of a small image is brought to, at least."""
COLOURS, STRENGTH = "inferno", 0.8
"""Lightness grows with the amount; the picture shines through by a fifth even under the maximum."""
BOX = (0, 158, 115)
PARTS = ((86, 180, 233), (230, 159, 0), (204, 121, 167), (0, 114, 178), (240, 228, 66))
ENDS = "0", "its max"
"""What the ends of the colours mean: maps of several models have no common unit."""


@dataclass(frozen=True, eq=False)
class MapPanel:
    """What one model, or one method, makes of an image."""

    of: str
    picture: Image.Image
    predicted: str
    confidence: float
    """The probability of `predicted`, in [0, 1]; NaN where it is not known."""


@dataclass(frozen=True, eq=False)
class Shown:
    """An image with what is made of it."""

    name: str
    true: str
    """Its class; empty where that is not known."""
    picture: Image.Image
    looks: tuple[MapPanel, ...]


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

    The map is upsampled bilinearly and coloured from 0 to its own maximum; what is negative is no evidence and has no
    colour, nor has a map that is flat at 0 or holds a value that is not finite: those are the image alone. The more
    there is, the less the image shines through. It is grey unless `colour`.
    boxes: [n, 4] (x0, y0, x1, y1) in pixels of the image, x1 and y1 excluded. parts: masks [H, W] bool, outlined.
    side: small images are enlarged by a whole factor until their longer side has this many pixels, each a square.
    """
    base = picture(pixels, side=side, colour=colour)
    amount = evidence_at(map, (base.height, base.width))[..., None]
    heat = matplotlib.colormaps[COLOURS](amount[..., 0])[..., :3] * 255
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
    """Return a copy of `image`, of something of `size` (H, W), with boxes and the borders of parts drawn in."""
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
    """Draw the inner border of `mask` [H, W] into `image`."""
    marks = Image.fromarray(mask.detach().cpu().numpy().astype(np.uint8) * 255)
    inside = np.asarray(marks.resize(image.size, Image.Resampling.NEAREST)) > 0
    edge = inside & ~np.asarray(binary_erosion(inside, iterations=2), dtype=bool)
    image.paste(colour, mask=Image.fromarray(edge.astype(np.uint8) * 255))


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
    colours = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64)[None])[..., :3] * 255
    return Image.fromarray(colours.round().astype(np.uint8))


def sheet(title: str, lines: Sequence[str], shown: Sequence[Shown]) -> Image.Image:
    """Draw images side by side, each with what all models or methods make of it below.

    All of `shown` must have looks of the same models or methods, in the same order. Raises OverfocusError for none.
    """
    if not shown:
        raise OverfocusError("sheet: there is no image to draw; give one at least")
    frame = (max(each.picture.width for each in shown), max(each.picture.height for each in shown))
    panels = [Panel("image", [_framed(each.picture, frame) for each in shown])]
    rows = [SheetRow("file", [(_short(each.name), "") for each in shown])]
    if any(each.true for each in shown):
        rows.append(SheetRow("true class", [(readable(each.true, "?") if each.true else "-", "") for each in shown]))
    for number, first in enumerate(shown[0].looks):
        looks = [each.looks[number] for each in shown]
        pictures = [_framed(look.picture, frame) for look in looks]
        panels.append(Panel(readable(first.of, f"number {number + 1}"), pictures, bar(), ENDS))
        cells = [(readable(look.predicted, "?"), _percent(look.confidence)) for look in looks]
        rows.append(SheetRow(readable(first.of, f"number {number + 1}"), cells))
    return paint(readable(title, "heat maps"), list(lines), panels, rows)


def _short(name: str) -> str:
    """Return the last part of a path, which tells images apart."""
    return readable(name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name, "?")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if isfinite(value) else "no answer"


def _framed(image: Image.Image, frame: tuple[int, int]) -> Image.Image:
    """Put `image` into the middle of a white frame of (width, height)."""
    if image.size == frame:
        return image
    framed = Image.new("RGB", frame, (255, 255, 255))
    framed.paste(image, ((frame[0] - image.width) // 2, (frame[1] - image.height) // 2))
    return framed
