"""Mixup: blend every image with another one, and the labels by the same share.

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018, 1710.09412), equation 1; at a layer it is
"Manifold Mixup" (Verma et al., ICML 2019, 1806.05236), which draws the layer anew for every batch:
oneof(mixup(at='layer1'), mixup(at='layer2')).

Formula: lambda ~ Beta(alpha, alpha); x <- lambda * x + (1 - lambda) * x', y <- lambda * y + (1 - lambda) * y'.

Settings
    prob   share of the images (or batches) that are mixed; 1 as in the paper
    alpha  of the Beta distribution; 1 is uniform (the paper's CIFAR runs), 0.1 to 0.4 for ImageNet; a small one mixes
           little
    per    `image`: every image has its own coin; `batch`: one coin for all. Lambdas and partners are always each
           image's own.
    at     `image`, `features` (the objective's cut) or a layer's name: what is blended

Several labels of an image are blended one by one, by the same formula.

Differs from the authors' code: own lambda and partner for every image instead of one lambda for the batch, and no image
is its own partner. In half precision lambda is rounded to what the values can hold, and the labels follow the rounded
one.

When it does not help: fine-grained classes (it hurt on Aircraft in OpenMixup's benchmark), localisation (little or
nothing in Table 9 of the CutMix paper), and detection of foreign inputs (worse than plain training, same paper). Short
training: on CIFAR-10 (JPEG q75), 100 images a class, it was 3.4 points [2.0, 4.8] behind plain after 40 epochs (n = 5)
and 3.5 [2.1, 4.9] ahead after 120 (n = 4); with 50 a class and 240 epochs 5.9 [4.9, 7.0] (n = 5), and on
Fashion-MNIST, 50 a class, 120 epochs, 1.2 [0.9, 1.5] (n = 10), at a higher overfocus score; with
sgdrop(drop=0.4, prob=1.0, views='both') behind it the accuracy stays and that score halves: docs/evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key, beta
from overfocus.core.processor import blank, by_hand
from overfocus.regularizers.regularizer import IMAGE, Transform, applies, check_choice, check_range, where_applied


@dataclass(frozen=True)
class Mixup(Transform):
    """Blend every image and its label with another one's."""

    filling = "patch"
    prob: float = 1.0
    alpha: float = 1.0
    per: Literal["image", "batch"] = "image"
    at: str = IMAGE

    def __post_init__(self) -> None:
        check_range(self, "prob", 0, 1)
        check_range(self, "alpha", 0, 1000, above=True)
        check_choice(self, "per", ("image", "batch"))

    def act(self, batch: Batch, key: Key) -> Batch:
        """Blend images [B, C, H, W] or features [B, ...]."""
        coin, share = key.uniform(len(batch), 2).unbind(1)
        mixed = applies(key, coin, self.prob, self.per)
        kept = torch.where(mixed, beta(share, self.alpha), 1.0)
        result = mixup(batch, key.fold_in("partners").derangement(len(batch)), kept)
        return result.noting(mixup_kept=where_applied(mixed, kept), mixup_rate=mixed.float())


def mixup(batch: Batch, partners: Tensor, kept: Tensor) -> Batch:
    """Blend every row with its row of `partners` [B]; `kept` [B] is the share of its own values and label."""
    values = batch.values
    if not values.is_floating_point():
        raise OverfocusError(
            f"mixup blends values, and {values.dtype} holds no blends; convert the images: images.float() / 255"
        )
    kept = kept.to(values.dtype)
    mixed = _between(values, partners, kept.reshape(-1, *[1] * (values.ndim - 1)))
    return replace(batch, values=mixed, targets=batch.targets.blend(batch.targets.take(partners), kept))


def _between(values: Tensor, partners: Tensor, kept: Tensor) -> Tensor:
    """Return what lies between `values[partners]` (at `kept` 0) and `values` (at 1)."""
    if not (by_hand(values, kept) and values.is_contiguous() and values.numel()):
        return torch.lerp(values[partners], values, kept)
    parts = _parts(values[0].numel())
    places = (partners[:, None] * parts + torch.arange(parts)).flatten()
    mixed, pieces = blank(values), values.view(len(places), -1)
    torch.index_select(pieces, 0, places, out=mixed.view(pieces.shape))
    return mixed.lerp_(values, kept)


def _parts(numbers: int) -> int:
    """Return into how many equal parts to cut a row so that torch gathers all in one go: it splits the work among its
    threads part by part where a part has over 2^15 numbers.
    """
    return next(parts for parts in range(max(1, -(-numbers // 2**15)), numbers + 1) if numbers % parts == 0)
