"""SGDrop: hide the features that the network leans on most, so that it learns to use the others too.

Source: Bertoin, Sanchez, Zouitine and Rachelson, "The Overfocusing Bias of Convolutional Neural Networks" (2409.17370).

Formula: A = ReLU(grad_z s(z) * z), s the logit of the target; q = the upper `drop`-quantile of A over the units of one
image; units with A > q are dropped, the others kept. No gradient flows through the mask. In evaluation nothing happens.

Settings
    drop       rho: at most this share of an image's units is dropped, and only units with A > 0; a range (0.2, 0.6)
               draws one for each image
    unit       `element` (as printed), `position` (all channels at a place; A summed over channels) or `channel` (A
               summed over positions)
    selection  `salient` units; or, as many of the same image as these would be, `random` ones (the control), or the
               `least` salient (up to a drop of 0.5 what is salient is protected; units that are 0 already count as
               well)
    unit_prob  with which each of the units so chosen is dropped: below 1 a part of what is salient stays
    target     whose evidence is dropped: the `label` (mixed labels by their weights), the `predicted` class, or `soft`
               (by the softmax). Of several labels: s is the sum of the logits of those that are present, by their
               shares; of those above 0 if `predicted`; by their sigmoids if `soft`. An image without any label keeps
               everything
    prob       part of the images that is masked at each step, each image with its own coin
    start      part of training before the first drop
    ramp       part of training over which `drop` then grows from 0 to its value
    views      `masked`: the head sees the masked features; `both`: the loss is the mean over plain and masked features
               of the same images
    teacher    `self`, or `ema`: attribution from a moving average of the network, as in the paper's figure 2 (one more
               forward pass)
    rescale    divide what is kept by the kept share, as dropout does; neither paper nor its relatives do
    at         `features` (the objective's cut) or a layer's name

Differs from the paper: whose tables and rho are not public in text. The drop is limited to positive attribution (after
a ReLU most A are 0, and a quantile of 0 would drop all evidence or everything), and `unit`, `selection`,
`unit_prob`, `prob`, `views` are ours. A random choice among the most salient is found in RSC's code for ImageNet
(2007.02454), protecting what is salient in KeepAugment (2011.11778).

When it does not help: in points of accuracy against plain, with 95 % intervals (docs/evidence.md)
  - Where the mask tells the label: single elements of the label's evidence at prob=1 (what is missing names the class),
    selection=least with target=label (what is left names it), and positions at an early layer. Training loss falls,
    clean accuracy may collapse; the objective warns.
  - Where nothing is left: with one view, prob=1 and drop 0.5, single elements leave nothing to learn from at any
    target, and channels little (22 to 40 % right on Fashion-MNIST where plain has 81, n = 3); the objective warns.
  - Short training: on Fashion-MNIST one masked view cost 0.6 to 1.6 (prob=0.5, n = 5); on CIFAR-10, 100 images a
    class, two views (views=both, drop 0.4, prob=1) cost 2.0 [0.5, 3.5] after 40 epochs (n = 5), 0.8 [-0.3, 1.9] after
    80 (n = 5), nothing after 120 (0.0 [-1.5, 1.5], n = 4).
  - Photographs: CIFAR-10, one view -4.1 [-6.1, -2.2] with 200 a class and 60 epochs, -6.3 [-7.1, -5.6] with 1,000 and
    12 (n = 3); 50 a class, two views -0.6 [-1.6, 0.5] after 240 epochs and -0.1 [-0.8, 0.6] in fine-tuning
    (n = 5), where Mixup gave 5.9 and 1.7.
  - Fine-tuned photographs (leeds-butterfly, LP-FT, 5 a class, n = 8): one view -1.5 [-2.7, -0.2], and -4.2 [-7.3, -1.2]
    with half of the object hidden by blur or noise; two views -0.3 [-1.9, 1.4] and 0.0 [-4.8, 4.9].
  - A background that names the class: 9.4 [3.9, 14.9] behind (n = 5). Its maps are wider, also onto the
    background (by the map only), and localize worse.
When it does: Fashion-MNIST, few images, 120 epochs: one view +0.6 [0.1, 1.0] with 50 a class (n = 10), +0.7 [0.3, 1.0]
with 100 (n = 12), its control selection=random, without which no gain counts, 0.0 and 0.1; two views +0.7 [0.3, 1.1]
with 50, Mixup +1.2 [0.9, 1.5] (n = 10). Behind Mixup two views change accuracy by nothing that was seen, and widen the
maps (by the map only). At equal accuracy one view widened the map of `totem` by 0.13 to 0.30, and what occlusion of the
picture says by 0.07 [0.07, 0.08] at the end of training and by 0.02 [-0.01, 0.06] before (n = 4): docs/evidence.md.
With a mark that named the class in training and another in testing: +9.4 [3.3, 15.4] (n = 8), on photographs +2.9 [2.3,
3.5] (n = 3). Teacher, start and ramp changed nothing that three seeds could tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.deprecation import renamed_fields
from overfocus.core.head_probe import HeadProbe, Target, Teacher
from overfocus.core.key import Key
from overfocus.regularizers.regularizer import (
    FEATURES,
    IMAGE,
    Regularizer,
    SettingError,
    check_choice,
    check_range,
    range_of,
    where_applied,
)

Unit = Literal["element", "position", "channel"]


@renamed_fields(which="selection", chance="unit_prob", share="prob")
@dataclass(frozen=True)
class SGDrop(Regularizer):
    """Drop the most salient features."""

    drop: float | tuple[float, float] = 0.5
    unit: Unit = "position"
    selection: Literal["salient", "random", "least"] = "salient"
    unit_prob: float = 1.0
    target: Target = "label"
    prob: float = 0.75
    start: float = 0.0
    ramp: float = 0.0
    views: Literal["masked", "both"] = "masked"
    teacher: Teacher = "self"
    rescale: bool = False
    at: str = FEATURES

    def __post_init__(self) -> None:
        low, high = range_of(self, "drop")
        if not 0 <= low <= high <= 1 or high == 0:
            raise SettingError(
                f"sgdrop: drop={self.drop!r} must be in (0, 1], or a range (smallest, largest) within it"
            )
        check_range(self, "unit_prob", 0, 1, above=True)
        check_range(self, "prob", 0, 1, above=True)
        check_range(self, "start", 0, 1)
        check_range(self, "ramp", 0, 1)
        check_choice(self, "unit", ("element", "position", "channel"))
        check_choice(self, "selection", ("salient", "random", "least"))
        check_choice(self, "target", ("label", "predicted", "soft"))
        check_choice(self, "views", ("masked", "both"))
        check_choice(self, "teacher", ("self", "ema"))
        if self.at == IMAGE:
            raise SettingError(
                "sgdrop: at='image' is not a place for it; it drops features: leave `at` out, or name a layer"
            )

    @property
    def scheduled(self) -> bool:
        """Whether the drop changes over training."""
        return self.start > 0 or self.ramp > 0

    @property
    def drops_positions(self) -> bool:
        """Whether whole positions are dropped."""
        return self.unit == "position"

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Mask features [B, C, h, w], [B, N, D] or [B, D]."""
        answer = probe.attribute(features.values, features.targets, self.target, self.teacher)
        coin, level = key.uniform(len(features), 2).unbind(1)
        chosen = coin < self.prob
        scores = unit_scores(answer.attribution, self.unit)
        if self.unit == "position" and scores.shape[1] == 1:
            raise SettingError(
                f"sgdrop: the features at {self.at!r} are one position, {list(features.values.shape[1:])}, which "
                "cannot be dropped; give larger images (twice the side makes 2 x 2), an earlier layer by `at`, or "
                "unit='channel'"
            )
        kept = self._kept(scores, self._drop(level, key.progress), key)
        kept = kept | ~_rows(chosen, 2)
        dropped = 1 - kept.float().mean(dim=1)
        masked = apply_mask(features.values, kept, self.unit, self.rescale)
        if self.views == "masked":
            result = replace(features, values=masked)
        else:
            values = torch.cat((features.values, masked))
            result = replace(features, values=values, targets=features.targets.repeat(2), views=2 * features.views)
        return result.noting(
            sgdrop_dropped=where_applied(chosen, dropped),
            sgdrop_evidence=where_applied(chosen, (scores * ~kept).sum(dim=1) / scores.sum(dim=1)),
            sgdrop_rate=(dropped > 0).float(),
            clean_accuracy=where_applied(chosen, features.targets.accuracy(answer.logits)),
        )

    def _kept(self, scores: Tensor, drop: Tensor | float, key: Key) -> Tensor:
        """Return which units stay by their `scores` [B, U]: [B, U] bool."""
        kept = keep_mask(scores, drop)
        if self.selection != "salient":
            order = key.fold_in("random").uniform(*kept.shape).argsort(dim=1)
            kept = kept.gather(1, order) if self.selection == "random" else keep_but_least(scores, kept, order)
        return kept if self.unit_prob == 1 else kept | (key.fold_in("chance").uniform(*kept.shape) >= self.unit_prob)

    def _drop(self, level: Tensor, progress: Tensor | float) -> Tensor | float:
        """Return the drop of every image [B] or of all: drawn from the range, 0 before `start`, growing over `ramp`."""
        low, high = range_of(self, "drop")
        drop = low + (high - low) * level if low < high else low
        if not self.scheduled:
            return drop
        since = torch.as_tensor(progress) - self.start
        grown = (since / self.ramp).clamp(0, 1) if self.ramp else (since >= 0).float()
        return drop * grown


def unit_scores(attribution: Tensor, unit: Unit) -> Tensor:
    """Sum `attribution` [B, C, h, w] (at least 0) over what belongs to one unit: [B, U]."""
    channels, positions = _axes(attribution)
    if unit == "position" and positions:
        return attribution.sum(dim=channels).flatten(1)
    if unit == "channel" and positions:
        return attribution.sum(dim=positions)
    return attribution.flatten(1)


def keep_mask(scores: Tensor, drop: float | Tensor) -> Tensor:
    """Keep what is not above the upper `drop`-quantile of its row of `scores` [B, U], nor positive: [B, U] bool.

    At most floor(drop * U) units are dropped, exactly that many where so many are positive and none are tied at the
    threshold. `drop` is a number, or a tensor [] or [B] on the device.
    """
    units = scores.shape[1]
    if isinstance(drop, float | int):
        most = int(drop * units + 1e-6)
        if most == 0:
            return torch.ones_like(scores, dtype=torch.bool)
        threshold = scores.kthvalue(units - most, dim=1, keepdim=True).values if most < units else scores.new_zeros(1)
    else:  # a count on the device: sort once instead of asking for it
        rank = (units - 1 - (drop * units + 1e-6).long()).expand(len(scores))[:, None]
        threshold = scores.sort(dim=1).values.gather(1, rank.clamp(min=0))
        threshold = torch.where(rank < 0, torch.zeros_like(threshold), threshold)
    return scores <= threshold.clamp(min=0)


def keep_but_least(scores: Tensor, kept: Tensor, order: Tensor) -> Tensor:
    """Drop as many units of each row as `kept` [B, U] does, those of the lowest `scores` [B, U]: [B, U] bool.

    Of equal ones the first in `order` [B, U], a permutation of each row, go first: most scores are 0.
    """
    rising = order.gather(1, scores.gather(1, order).argsort(dim=1, stable=True))
    beyond = torch.arange(scores.shape[1], device=scores.device) >= (~kept).sum(dim=1, keepdim=True)
    return torch.empty_like(kept).scatter(1, rising, beyond)


def apply_mask(features: Tensor, kept: Tensor, unit: Unit, rescale: bool = False) -> Tensor:
    """Zero the units of `features` [B, C, h, w] that are not `kept` [B, U]."""
    channels, positions = _axes(features)
    mask = kept.to(features.dtype)
    if rescale:
        mask = mask / mask.mean(dim=1, keepdim=True).clamp(min=1e-6)
    shape = list(features.shape)
    if positions and unit == "position":
        shape[channels] = 1
    elif positions and unit == "channel":
        shape = [size if axis in (0, channels) else 1 for axis, size in enumerate(shape)]
    return features * mask.reshape(shape)


def _axes(values: Tensor) -> tuple[int, tuple[int, ...]]:
    """Return the channel axis and the position axes: maps are [B, C, h, w], tokens [B, N, D], vectors [B, D]."""
    return {4: (1, (2, 3)), 3: (2, (1,)), 2: (1, ())}[values.ndim]


def _rows(chosen: Tensor, ndim: int) -> Tensor:
    return chosen.reshape(-1, *[1] * (ndim - 1))
