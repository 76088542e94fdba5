"""The picture that `inspect` draws: images before and after a method, what it changed, and what it dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, isqrt

import matplotlib
import torch
from matplotlib.colors import Colormap, LinearSegmentedColormap
from PIL import Image
from torch import Tensor

from overfocus.data import Dataset
from overfocus.report.drawing.contact_sheet import Panel, contact_sheet
from overfocus.report.drawing.letters import drawable
from overfocus.report.drawing.overlay import at_most, outlined, picture
from overfocus.training.expected import base
from overfocus.training.recorder import SeamRecord

LARGEST = 256
"""Pixels of the longer side of a picture, at most."""
LABELS = 4
"""Classes written under an image, at most."""

# Both can be read with any colour vision: cividis (Nunez et al., PLOS ONE 2018) for amounts, dark blue on light grey
# for what is gone.
AMOUNT = matplotlib.colormaps["cividis"]
DROPPED, STRENGTH = (0.0, 63 / 255, 140 / 255), 0.85
LEFT = LinearSegmentedColormap.from_list("left", ["#bfbfbf", "#1d529c"])
"""Mid-grey of which nothing to all is dropped."""


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
        """The normalised images before the method: [B, C, H, W]."""
        return self.seen[0].before.values

    def first(self, count: int) -> InspectedSample:
        """Return the same for the first `count` images of the batch."""
        return InspectedSample([seen.first(count) for seen in self.seen], self.touched[:count], self.on_images)


def inspection_sheet(title: str, lines: list[str], sample: InspectedSample, dataset: Dataset) -> Image.Image:
    """Draw the method at work on a sample."""
    before = _pixels(sample.images, dataset)
    after = _pixels(sample.seen[0].after.values, dataset)
    targets = [
        _target(weights, dataset.classes) for weights in sample.seen[-1].after.targets.dense(len(dataset.classes))
    ]
    panels = [Panel("training image", _pictures(before), () if sample.on_images else targets)]
    if sample.on_images:
        panels += _image_panels(before, after, sample.touched, targets)
    for seen in sample.seen[1:]:
        panels += _feature_panels(seen, after)
    return contact_sheet(title, lines, [*panels[:-1], _measured(panels[-1], sample.seen[-1])])


def _pixels(images: Tensor, dataset: Dataset) -> Tensor:
    """Undo the normalisation of images [B, C, H, W]: in [0, 1]."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (dataset.mean, dataset.std))
    return (images.float() * std + mean).clamp(0, 1)


def _pictures(pixels: Tensor) -> list[Image.Image]:
    """Return a picture of each image [B, C, H, W] in [0, 1]: small ones enlarged, very large ones made smaller."""
    return [at_most(picture(each), LARGEST) for each in pixels]


def _coloured(amounts: Tensor, colours: Colormap) -> Tensor:
    """Colour amounts [B, H, W] in [0, 1]: [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(colours(amounts.numpy())[..., :3]).float().movedim(-1, 1)


def _image_panels(before: Tensor, after: Tensor, touched: Tensor, targets: Sequence[Sequence[str]]) -> list[Panel]:
    """Show the images after the image seam, the touched part outlined, and how far they moved."""
    seen = [each if mask.all() else outlined(each, (mask.shape[0], mask.shape[1]), parts={"touched": mask})
            for each, mask in zip(_pictures(after), touched, strict=True)]  # fmt: skip
    moved = (after - before).abs().mean(dim=1)
    top = float(moved.max()) or 1.0
    return [
        Panel("what training sees", seen, targets),
        Panel("difference", _pictures(_coloured(moved / top, AMOUNT)), (), AMOUNT, ("0", f"{top:.2f}")),
    ]


def _feature_panels(seen: SeamRecord, images: Tensor) -> list[Panel]:
    """Show the attribution and what the method dropped or mixed at one seam, over the images that were encoded."""
    panels, grey = [], images.mean(dim=1, keepdim=True)
    if seen.attribution is not None:
        maps = _by_position(seen.attribution.float())
        maps = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        heat = 0.75 * _coloured(_enlarged(maps, images), AMOUNT) + 0.25 * grey
        panels.append(Panel(f"attribution at {seen.place}", _pictures(heat), (), AMOUNT))
    change, shares = _changed_share(seen)
    share = STRENGTH * _enlarged(shares, images)[:, None]
    tinted = (0.5 * grey + 0.5) * (1 - share) + torch.tensor(DROPPED)[:, None, None] * share
    return [*panels, Panel(f"{change} at {seen.place}", _pictures(tinted), (), LEFT, ("none", "all"))]


def _changed_share(seen: SeamRecord) -> tuple[str, Tensor]:
    """Return `dropped` and the share of the active channels that became zero, or `mixed` and the share that changed.

    Both shares are [B, h, w].
    """
    before, after = seen.before.values, seen.after.values
    if seen.after.targets.labels.shape != seen.before.targets.labels.shape:
        return "mixed", _share(before != after, (before != 0) | (after != 0))
    return "dropped", _share((before != 0) & (after == 0), before != 0)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Return the share of the `whole` (bool) that is `part` (bool) at each position: [B, h, w]."""
    return _by_position(part.float()) / _by_position(whole.float()).clamp(min=1)


def _by_position(values: Tensor) -> Tensor:
    """Sum over the channels of maps [B, C, h, w], tokens [B, N, D] or vectors [B, D]: [B, h, w].

    Tokens are laid out as a square grid, without class and register tokens; where they are no square they are a row.
    """
    if values.ndim == 4:
        return values.sum(dim=1)
    if values.ndim == 2:
        return values.sum(dim=1)[:, None, None]
    tokens = values.sum(dim=2)
    for extra in (0, 1, 2, 5):
        side = isqrt(max(tokens.shape[1] - extra, 0))
        if side > 1 and side**2 == tokens.shape[1] - extra:
            return tokens[:, extra:].reshape(-1, side, side)
    return tokens[:, None]


def _enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Bring maps [B, h, w] to the size of `images` [B, C, H, W], each value a rectangle."""
    return torch.nn.functional.interpolate(maps[:, None], images.shape[-2:], mode="nearest-exact")[:, 0]


def _target(weights: Tensor, classes: tuple[str, ...]) -> list[str]:
    """Return the classes of an image with their weights, the largest first; those beyond `LABELS` are counted."""
    order = [k for k in weights.argsort(descending=True, stable=True).tolist() if weights[k] >= 0.0005]
    named = [f"{weights[k]:.2f} {drawable(classes[k], f'class {k}')}" for k in order]
    if len(named) <= LABELS:
        return named
    rest = sum(float(weights[k]) for k in order[LABELS - 1 :])
    return [*named[: LABELS - 1], f"{rest:.2f} {len(named) - LABELS + 1} more"]


def _measured(panel: Panel, seen: SeamRecord) -> Panel:
    """Return a panel with what the method measured of each image below it; a dash where it did not act."""
    values = {name: each.tolist() for name, each in seen.measured().items() if not base(name).endswith("_rate")}
    lines = [
        [f"{'-' if isnan(each[n]) else f'{each[n]:.2f}'} {name.replace('_', ' ')}" for name, each in values.items()]
        for n in range(len(panel.pictures))
    ]
    before = panel.captions or [()] * len(lines)
    captions = [[*above, *below] for above, below in zip(before, lines, strict=True)]
    return Panel(panel.title, panel.pictures, captions, panel.colours, panel.ends)
