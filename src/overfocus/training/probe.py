"""Where a network looks while it is trained: a few numbers of the same images, every so many epochs.

The images are evaluation images, as many as 3 % of the training ones (8 to 256), so that a forward through them is
small compared with an epoch. Nothing is drawn and the network does not change: training is bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overfocus.attribution.capture import capture
from overfocus.attribution.catalogue import upsampled
from overfocus.attribution.methods.hirescam import HiResCAM
from overfocus.attribution.target import target_weights
from overfocus.core import boxes as rectangles
from overfocus.data import Split, Stream
from overfocus.metrics.focus import energy_inside, part_shares
from overfocus.metrics.spread import effective_area, gini

SHARE, LEAST, MOST = 0.03, 8, 256


def images_for(training: int) -> int:
    """Return how many images are probed when there are `training` images to train on."""
    return max(LEAST, min(MOST, round(SHARE * training)))


@dataclass(frozen=True, eq=False)
class Probe:
    """A fixed set of images, and what is marked on them."""

    batches: tuple[tuple[Tensor, Tensor], ...]
    """Images [B, C, H, W], normalised, with their labels [B], on the device of the network."""
    parts: Mapping[str, Tensor]
    """Part -> [N, H, W] bool; empty where the data marks no parts."""
    inside: Tensor | None
    """[N, H, W] bool: what lies in a box, where the data has boxes and no parts."""
    layer: str

    @staticmethod
    def of(stream: Stream, model: nn.Module, at: str) -> Probe:
        """Hold the images of an evaluation `stream`; `at` is the layer, or "@features" for the last before pooling."""
        batches = tuple((images, labels) for images, labels, _ in stream.epoch())
        split, size = stream.split, (batches[0][0].shape[2], batches[0][0].shape[3])
        parts = {name: torch.stack([torch.as_tensor(masks[n]) for n in range(len(split))])
                 for name, masks in split.masks.items()}  # fmt: skip
        return Probe(batches, parts, _inside(split, size) if not parts else None, _layer(model, batches, at))

    @staticmethod
    def of_batches(batches: Iterable[tuple[Tensor, Tensor]], model: nn.Module, at: str) -> Probe:
        """Hold images [B, C, H, W] with labels [B], of which nothing is marked."""
        batches = tuple(batches)
        return Probe(batches, {}, None, _layer(model, batches, at))

    def look(self, model: nn.Module) -> dict[str, float]:
        """Return the means over images of effective area and Gini index, and shares of the attribution by part."""
        found = [self._maps(model, images, labels) for images, labels in self.batches]
        maps = torch.cat(found).float().cpu()
        size = (self.batches[0][0].shape[2], self.batches[0][0].shape[3])
        numbers = {"effective_area": effective_area(maps), "gini": gini(maps)}
        if self.parts:
            shares = part_shares(upsampled(maps, size), self.parts)
            numbers |= {f"on_{part}": share for part, share in shares.items()}
        elif self.inside is not None:
            numbers["on_object"] = energy_inside(upsampled(maps, size), self.inside)
        return {name: float(values.nanmean()) for name, values in numbers.items()}

    def _maps(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        seen = capture(model, images.to(_dtype(model)), self.layer)
        weights = target_weights(seen.logits.detach(), "label", labels if labels.ndim == 1 else labels.float())
        return HiResCAM().of(seen, weights)


def _layer(model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], at: str) -> str:
    return capture(model, batches[0][0][:2].to(_dtype(model)), at).layer


def _inside(split: Split, size: tuple[int, int]) -> Tensor | None:
    if split.boxes is None or not any(len(each) for each in split.boxes):
        return None
    empty = torch.zeros(1, *size, dtype=torch.bool)
    return torch.stack([torch.cat((empty, rectangles.inside(each, size))).any(dim=0) for each in split.boxes])


def _dtype(model: nn.Module) -> torch.dtype:
    return next((each.dtype for each in model.parameters()), torch.float32)
