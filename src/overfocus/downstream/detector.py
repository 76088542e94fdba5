"""A detector on a classifier's encoder: torchvision's Faster R-CNN on the one map where the encoder ends.

Everything but the encoder is small, new, and drawn from the seed alone; anchors have the sizes and shapes of the boxes
that it is trained on. Images keep their own size, or get the requested one, where torchvision would
enlarge them to 800 pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from overfocus.core.errors import OverfocusError
from overfocus.downstream.objects import Objects
from overfocus.models.split import FEATURES, split

HEADS = ("rpn", "roi_heads")
"""The modules of a detector beside its encoder."""
WIDTH, POOLED = 256, 7
"""Units of the box head, and the side of the map that it sees of a box."""
QUANTILES = (1 / 6, 1 / 2, 5 / 6)
SAME = 1.15
"""Anchors whose sides differ by less than this factor are one."""
FAR = 4
"""An image whose longer side is more than so many times its shorter one is made smaller."""


class Encoder(nn.Module):
    """A classifier up to the layer `at`: images [B, C, H, W] to features [B, out_channels, h, w].

    frozen_norm: batch norms keep the statistics and the scales that they came with.
    Raises OverfocusError where what comes out there is no map.
    """

    def __init__(self, model: nn.Module, channels: int, at: str = FEATURES, frozen_norm: bool = False) -> None:
        super().__init__()
        self.model, self.cut, self.frozen_norm = model, split(model, at), frozen_norm
        self.out_channels = _width(self, channels, at)
        if frozen_norm:
            for norm in _norms(model):
                norm.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        return self.cut.encode(self.model, images)

    def train(self, mode: bool = True) -> Encoder:
        """Set the mode; frozen norms stay in evaluation."""
        super().train(mode)
        if self.frozen_norm:
            for norm in _norms(self.model):
                norm.eval()
        return self


def _norms(model: nn.Module) -> Iterable[nn.Module]:
    return (module for module in model.modules() if isinstance(module, _BatchNorm))


def _width(encoder: Encoder, channels: int, at: str) -> int:
    """Run the encoder once, leaving no trace, and return how many channels its map has."""
    training = encoder.model.training
    place = next(encoder.parameters())
    try:
        with torch.no_grad(), torch.random.fork_rng():
            images = torch.zeros(1, channels, 64, 64, device=place.device, dtype=place.dtype)
            features = encoder.cut.encode(encoder.model.eval(), images)
    finally:
        encoder.model.train(training)
    if features.ndim != 4:
        raise OverfocusError(
            f"at {at!r} the network gives {list(features.shape)}, which is no map [B, channels, h, w]; name a layer "
            "before pooling as --at"
        )
    return features.shape[1]


@dataclass(frozen=True)
class Anchors:
    """The boxes from which a detector starts at every position, in pixels of what it sees."""

    sizes: tuple[float, ...]
    """Square roots of areas."""
    ratios: tuple[float, ...]
    """Height over width."""


def _typical(values: Tensor) -> tuple[float, ...]:
    """Return a small, a middle and a large one of `values`, or fewer where these are nearly the same."""
    kept: list[float] = []
    for value in torch.quantile(values, torch.tensor(QUANTILES, dtype=values.dtype)).tolist():
        if not kept or value / kept[-1] > SAME:
            kept.append(value)
    return tuple(kept)


def scale_for(stored: tuple[int, int], side: int) -> float:
    """Return by how much an image of the size `stored` (height, width) is enlarged for a shorter side of `side`."""
    return min(side / min(stored), FAR * side / max(stored))


def shorter_side(objects: Objects) -> int:
    """Return the pixels of the shorter side of most images: the median."""
    sides = sorted(min(objects.images.size(row)) for row in range(len(objects)))
    return sides[len(sides) // 2]


def anchors_of(objects: Objects, side: int) -> Anchors:
    """Return anchors like the boxes of `objects`, whose images are seen with a shorter side of `side` pixels."""
    rows = [row for row, boxes in enumerate(objects.boxes) if len(boxes)]
    scales = [torch.full((len(objects.boxes[row]), 1), scale_for(objects.images.size(row), side)) for row in rows]
    boxes = torch.cat([objects.boxes[row] for row in rows])
    width, height = ((boxes[:, 2:] - boxes[:, :2]) * torch.cat(scales)).double().unbind(1)
    return Anchors(_typical((width * height).sqrt()), _typical(height / width))


def create_detector(
    encoder: Encoder,
    classes: int,
    anchors: Anchors,
    *,
    side: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
) -> FasterRCNN:
    """Return a detector of `classes`; its heads are drawn from `seed`, and number the classes from 1, 0 for nothing.

    side: pixels of an image's shorter side. mean, std: of each channel, as the encoder knows them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FasterRCNN(
            encoder,
            rpn_anchor_generator=AnchorGenerator((anchors.sizes,), (anchors.ratios,)),
            box_roi_pool=MultiScaleRoIAlign(["0"], POOLED, 2),
            box_head=TwoMLPHead(encoder.out_channels * POOLED**2, WIDTH),
            box_predictor=FastRCNNPredictor(WIDTH, classes + 1),
            min_size=side, max_size=FAR * side, size_divisible=1,
            image_mean=list(mean), image_std=list(std),
            rpn_pre_nms_top_n_train=500, rpn_post_nms_top_n_train=100,
            rpn_pre_nms_top_n_test=500, rpn_post_nms_top_n_test=100,
            rpn_batch_size_per_image=128, box_batch_size_per_image=32,
        )  # fmt: skip
