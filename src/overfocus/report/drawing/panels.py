"""The rows of the picture that `inspect` draws: images before and after, what was touched, what was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, isnan, isqrt

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from overfocus.data import Dataset
from overfocus.report.drawing.canvas import Panel, SheetRow, paint, readable
from overfocus.training.expected import base
from overfocus.training.recorder import SeamRecord

SIDE = 150
"""Pixels that the longer side of a small image is brought to, at least."""
LARGEST = 256
LABELS = 4
"""Classes written under an image, at most."""

# Legible whatever the colour vision: cividis (Nunez et al., PLOS ONE 2018) for amounts, dark blue on light grey for
# what is gone.
CIVIDIS = np.array([(0, 34, 78), (65, 77, 107), (124, 123, 120), (188, 175, 111), (254, 232, 56)], dtype=np.float32)
DROPPED = np.array((0, 63, 140), dtype=np.float32)
OUTLINE = (230, 159, 0)


@dataclass(frozen=True)
class InspectedSample:
    """The seams that a batch went through; the first is that of the images, which a method need not act on."""

    seen: list[SeamRecord]
    touched: Tensor
    """[B, H, W] bool: the pixels that the method wrote to."""
    on_images: bool
    """Whether the method acts on images at all."""

    @property
    def images(self) -> Tensor:
        """The images as they came, normalised: [B, C, H, W]."""
        return self.seen[0].before.values

    def first(self, count: int) -> InspectedSample:
        """Return the same for the first `count` images of the batch."""
        return InspectedSample([seen.first(count) for seen in self.seen], self.touched[:count], self.on_images)


def sheet(title: str, lines: list[str], sample: InspectedSample, dataset: Dataset) -> Image.Image:
    """Draw the method at work on a sample."""
    before = _pictures(sample.images, dataset)
    after = _pictures(sample.seen[0].after.values, dataset)
    panels = [Panel("training image", [_scaled(image) for image in before])]
    if sample.on_images:
        panels += _image_panels(before, after, sample.touched.numpy())
    for seen in sample.seen[1:]:
        panels += _feature_panels(seen, after)
    return paint(title, lines, panels, [*_target_rows(sample, dataset), *_measured_rows(sample)])


def _pictures(images: Tensor, dataset: Dataset) -> np.ndarray:
    """Undo the normalisation of [B, C, H, W]: [B, H, W, 3] float32 in [0, 255]."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (dataset.mean, dataset.std))
    pixels = ((images.float() * std + mean) * 255).clamp(0, 255)
    pixels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    return pixels.permute(0, 2, 3, 1).numpy()


def _image_panels(before: np.ndarray, after: np.ndarray, touched: np.ndarray) -> list[Panel]:
    """Show the images behind the image seam, the touched part outlined, and how far they moved."""
    outlined = [_outlined(_scaled(image), mask) for image, mask in zip(after, touched, strict=True)]
    moved = np.abs(after - before).mean(axis=3) / 255
    top = float(moved.max()) or 1.0
    heat = [_scaled(_colours(each / top)) for each in moved]
    return [Panel("what training sees", outlined), Panel("difference", heat, _bar(_colours), ("0", f"{top:.2f}"))]


def _feature_panels(seen: SeamRecord, images: np.ndarray) -> list[Panel]:
    """Show where the method looked and what it dropped or mixed at one seam, over the images that were encoded."""
    panels = []
    if seen.attribution is not None:
        maps = _by_position(seen.attribution.float())
        maps = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
        heat = [
            _scaled(_colours(_fitted(each, image)) * 0.75 + _grey(image) * 0.25)
            for each, image in zip(maps, images, strict=True)
        ]
        panels.append(Panel(f"attribution at {seen.place}", heat, _bar(_colours), ("0", "its max")))
    what, shares = _changed_share(seen)
    tinted = [_scaled(_tinted(image, _fitted(share, image))) for share, image in zip(shares, images, strict=True)]
    bar = _bar(lambda share: _tinted(np.full((*share.shape, 3), 128.0), share))
    return [*panels, Panel(f"{what} at {seen.place}", tinted, bar, ("none", "all"))]


def _changed_share(seen: SeamRecord) -> tuple[str, np.ndarray]:
    """Return `dropped` and the share of the active channels that became zero, or `mixed` and the share that changed.

    Both shares are [B, h, w].
    """
    before, after = seen.before.values, seen.after.values
    if seen.after.targets.labels.shape != seen.before.targets.labels.shape:
        return "mixed", _share(before != after, (before != 0) | (after != 0))
    return "dropped", _share((before != 0) & (after == 0), before != 0)


def _share(part: Tensor, whole: Tensor) -> np.ndarray:
    """Return which share of the `whole` (bool) is `part` (bool) at each position: [B, h, w]."""
    return _by_position(part.float()) / np.maximum(_by_position(whole.float()), 1)


def _by_position(values: Tensor) -> np.ndarray:
    """Sum over the channels of maps [B, C, h, w], tokens [B, N, D] or vectors [B, D]: [B, h, w].

    Tokens are laid out as a square grid, class and register tokens left out; where they are no square they are a row.
    """
    if values.ndim == 4:
        return values.sum(dim=1).numpy()
    if values.ndim == 2:
        return values.sum(dim=1)[:, None, None].numpy()
    tokens = values.sum(dim=2)
    for extra in (0, 1, 2, 5):
        side = isqrt(max(tokens.shape[1] - extra, 0))
        if side > 1 and side**2 == tokens.shape[1] - extra:
            return tokens[:, extra:].reshape(-1, side, side).numpy()
    return tokens[:, None].numpy()


def _fitted(share: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Bring a map [h, w] to the size of `image` [H, W, 3] by the nearest value."""
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(share.astype(np.float32)).resize((width, height), Image.Resampling.NEAREST))


def _colours(amount: np.ndarray) -> np.ndarray:
    """Colour amounts [H, W] in [0, 1]: [H, W, 3] in [0, 255]."""
    stops = np.linspace(0, 1, len(CIVIDIS))
    return np.stack([np.interp(amount, stops, CIVIDIS[:, channel]) for channel in range(3)], axis=-1)


def _bar(colour: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Return the colours of the amounts 0 to 1, from left to right."""
    return Image.fromarray(colour(np.linspace(0, 1, 64)[None]).round().astype(np.uint8))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)


def _tinted(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Lay the colour of what is dropped over a light grey `image` [H, W, 3] by `share` [H, W]."""
    strength = 0.85 * share[..., None]
    return (0.5 * _grey(image) + 127) * (1 - strength) + DROPPED * strength


def _scaled(image: np.ndarray) -> Image.Image:
    """Enlarge small images by a whole factor, every pixel a square; make very large ones smaller."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image.round().astype(np.uint8))
    factor = ceil(SIDE / max(height, width))
    if factor > 1:
        return picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    shrink = min(1.0, LARGEST / max(height, width))
    return picture.resize((max(round(width * shrink), 1), max(round(height * shrink), 1)), Image.Resampling.LANCZOS)


def _outlined(picture: Image.Image, touched: np.ndarray) -> Image.Image:
    """Draw the border of what was touched [H, W]; a picture that was touched all over has none."""
    if touched.all() or not touched.any():
        return picture
    marks = Image.fromarray(touched.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    inside = np.asarray(marks) > 0
    around = np.asarray(binary_dilation(inside), dtype=bool)
    core = np.asarray(binary_erosion(inside, iterations=2), dtype=bool)
    pixels = np.array(picture)
    pixels[around & ~inside] = 0
    pixels[inside & ~core] = OUTLINE
    return Image.fromarray(pixels)


def _target_rows(sample: InspectedSample, dataset: Dataset) -> Iterator[SheetRow]:
    """Write the classes of each image with their weights, the largest first; what is left over is counted."""
    dense = sample.seen[-1].after.targets.dense(len(dataset.classes))
    cells = [_named(weights, dataset.classes) for weights in dense]
    for number in range(max(len(cell) for cell in cells)):
        yield SheetRow(
            "target" if number == 0 else "", [cell[number] if number < len(cell) else ("", "") for cell in cells]
        )


def _named(weights: Tensor, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    order = [k for k in weights.argsort(descending=True, stable=True).tolist() if weights[k] >= 0.0005]
    named = [(readable(classes[k], f"class {k}"), f"{weights[k]:.2f}") for k in order]
    if len(named) <= LABELS:
        return named
    rest = sum(float(weights[k]) for k in order[LABELS - 1 :])
    return [*named[: LABELS - 1], (f"{len(named) - LABELS + 1} more", f"{rest:.2f}")]


def _measured_rows(sample: InspectedSample) -> Iterator[SheetRow]:
    """Write what the method measured of each image; a dash where it did not act."""
    for name, values in sample.seen[-1].measured().items():
        if not base(name).endswith("_rate"):
            numbers = ["-" if isnan(value) else f"{value:.2f}" for value in values.tolist()]
            yield SheetRow(name.replace("_", " "), [("", number) for number in numbers])
