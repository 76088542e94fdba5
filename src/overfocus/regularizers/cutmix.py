"""CutMix: paste a box of another image, and weigh both labels by the area that each covers.

Source: Yun et al., "CutMix" (ICCV 2019, 1905.04899), equations 1 and 2; the variants are those of its section on
ablations.

Formula: lambda ~ Beta(alpha, alpha); a box of W sqrt(1 - lambda) x H sqrt(1 - lambda) pixels around a centre uniform
over the image, clipped at the border; the target is kept * y + (1 - kept) * y', kept = the share of the area that was
*not* pasted, after clipping.

Settings
    prob      share of the images (or batches) that are mixed; 0.5 as in the paper's CIFAR runs (1.0 in its ImageNet
              runs)
    alpha     of the Beta distribution; 1 is uniform
    per       `image`: every image has its own coin; `batch`: one coin for all. Boxes and partners are always each
              image's own.
    centre    `uniform`, or `gaussian` around the middle of the image (standard deviation a quarter of the side)
    size      0: drawn from lambda; pixels (whole) or a share of the side (below 1): fixed
    schedule  `constant`, or `linear`: the probability grows from 0 to `prob` over training
    label     `area`; `larger`: only the label with the larger part; `half`: half and half, whatever the area; `union`,
              where an image has several labels: in full all labels of both images, as far as a pixel of each is seen
    at        `image`, `features` (the objective's cut) or a layer's name: where the box is pasted (feature CutMix)

Differs from the paper: own box, share and partner for every image instead of one for the batch; no image is its own
partner; an odd box keeps its last pixel. Clipping shrinks the pasted area from 0.5 to 0.32 on average for alpha = 1;
the labels follow the true area.

Several labels of an image: `area` gives every label of either image the share of the area that its image has, and a
label of both the whole. `union` is their logical or. Neither knows where an object lies: the label of one that is
covered stays (`union` at 1), and one whose object is not in the box comes along. Burgert et al. (2405.13451) call these
additions and erasures label noise, and take labels from pixel maps of the classes instead, which is not done here.

When it does not help: fine-grained classes (it hurt on Aircraft in OpenMixup's benchmark), small networks on large data
(ResNet-18 on ImageNet, same source), very long training. Most of the paper's margin is over the best epoch; last epochs
show about half of it. Short training: on CIFAR-10 (JPEG q75), 100 images a class, 1.6 points behind plain [-0.2, 3.5]
after 40 epochs (n = 5), 1.8 ahead [-0.1, 3.7] after 120 (n = 4): docs/evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from overfocus.core import boxes
from overfocus.core.batch import Batch
from overfocus.core.key import Key, beta
from overfocus.regularizers.regularizer import (
    IMAGE,
    Transform,
    applies,
    check_choice,
    check_range,
    map_size,
    where_applied,
)


@dataclass(frozen=True)
class CutMix(Transform):
    """Paste a box of another image and mix the labels by area."""

    filling = "patch"
    prob: float = 0.5
    alpha: float = 1.0
    per: Literal["image", "batch"] = "image"
    centre: Literal["uniform", "gaussian"] = "uniform"
    size: float = 0
    schedule: Literal["constant", "linear"] = "constant"
    label: Literal["area", "larger", "half", "union"] = "area"
    at: str = IMAGE

    def __post_init__(self) -> None:
        check_range(self, "prob", 0, 1)
        check_range(self, "alpha", 0, 1000, above=True)
        check_range(self, "size", 0, 100_000)
        check_choice(self, "per", ("image", "batch"))
        check_choice(self, "centre", ("uniform", "gaussian"))
        check_choice(self, "schedule", ("constant", "linear"))
        check_choice(self, "label", ("area", "larger", "half", "union"))

    @property
    def multi_label(self) -> bool:
        """Whether images must have several labels."""
        return self.label == "union"

    def act(self, batch: Batch, key: Key) -> Batch:
        """Mix images [B, C, H, W] or feature maps [B, C, h, w]."""
        image_size = map_size(self, batch.values)
        coin, share, x, y = key.uniform(len(batch), 4).unbind(1)
        if self.centre == "gaussian":
            x, y = (0.5 + 0.25 * key.fold_in("gaussian").normal(len(batch), 2)).clamp(0, 1 - 1e-6).unbind(1)
        mixed = applies(key, coin, self.prob * key.progress if self.scheduled else self.prob, self.per)
        pasted = self._boxes(share, x, y, image_size) * mixed[:, None]
        kept = 1 - boxes.share(pasted, image_size)
        partners = key.fold_in("partners").derangement(len(batch))
        result = cutmix(batch, partners, pasted, self._weight(kept, mixed))
        if self.label == "union":
            result = replace(result, targets=batch.targets.union(batch.targets.take(partners), kept > 0, kept < 1))
        return result.noting(cutmix_kept=where_applied(mixed, kept), cutmix_rate=mixed.float())

    def _boxes(self, share: Tensor, x: Tensor, y: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Turn draws from U[0, 1), share, x and y [B], into boxes [B, 4]."""
        height, width = image_size
        if self.size >= 1:
            across, down = (torch.full_like(share, float(self.size)) for _ in range(2))
        else:
            side = torch.full_like(share, self.size) if self.size else (1 - beta(share, self.alpha)).sqrt()
            across, down = side * width, side * height
        return boxes.around((x * width).long(), (y * height).long(), across.long(), down.long(), image_size)

    def _weight(self, kept: Tensor, mixed: Tensor) -> Tensor:
        """Return the weight of the image's own label under the rule `label`: [B]."""
        if self.label == "larger":
            return (kept >= 0.5).to(kept.dtype)
        if self.label == "half":
            return torch.where(mixed, 0.5, 1.0)
        return kept


def cutmix(batch: Batch, partners: Tensor, pasted: Tensor, kept: Tensor) -> Batch:
    """Paste the boxes `pasted` [B, 4] from the rows `partners` [B]; the label weights are `kept` [B] and 1 - kept."""
    values = boxes.paste(batch.values, batch.values, partners, pasted)
    targets = batch.targets.blend(batch.targets.take(partners), kept)
    return replace(batch, values=values, targets=targets)
