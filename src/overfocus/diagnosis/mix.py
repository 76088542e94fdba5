"""Images between two classes: mixed with a partner of another class, at a given share lambda.

As in CutMix (1905.04899), where it treats uncertainty: Mixup samples are lambda a + (1 - lambda) b, CutMix samples show
b in a box in the middle whose area is 1 - lambda. Whether the prediction is one of the two classes is evaluated by
`metrics.mix`. At lambda 1 both are the image itself, at lambda 0 the partner.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from overfocus.core import boxes
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key

KINDS = ("mixup", "cutmix")
LAMBDAS = tuple(step / 10 for step in range(11))
"""Shares of the first image at which the curve is drawn."""


def mixed(kind: str, pixels: Tensor, partners: Tensor, lam: float) -> Tensor:
    """Return images [B, C, H, W] of which the share `lam` in [0, 1] is `pixels` and the rest `partners`, same shape.

    For "cutmix" the share is met up to rounding the box to pixels; `kept` returns it. Raises UnknownName for another
    kind, OverfocusError for a share outside [0, 1] or shapes that differ.
    """
    if kind not in KINDS:
        raise UnknownName("mix", kind, KINDS)
    if pixels.shape != partners.shape:
        raise OverfocusError(
            f"{kind}: images are {tuple(pixels.shape)} and partners {tuple(partners.shape)}; give one partner each, of "
            "the same size"
        )
    if kind == "mixup":
        return torch.lerp(partners, pixels, _share(lam))
    box = middle((pixels.shape[-2], pixels.shape[-1]), lam).to(pixels.device)
    return torch.where(boxes.inside(box, (pixels.shape[-2], pixels.shape[-1]))[:, None], partners, pixels)


def middle(image_size: tuple[int, int], lam: float) -> Tensor:
    """Return the box [1, 4] (x0, y0, x1, y1) in the middle of `image_size` (H, W) with the share 1 - lam of its area
    and sides in its ratio, each rounded; half a pixel to the left or top where the rest is odd.
    """
    side = sqrt(1 - _share(lam))
    height, width = (round(side * each) for each in image_size)
    top, left = (image_size[0] - height) // 2, (image_size[1] - width) // 2
    return torch.tensor([[left, top, left + width, top + height]])


def kept(kind: str, image_size: tuple[int, int], lam: float) -> float:
    """Return the share of the first image that `mixed` really shows, in [0, 1]."""
    return 1 - float(boxes.share(middle(image_size, lam), image_size)) if kind == "cutmix" else _share(lam)


def partners(labels: Tensor, key: Key) -> Tensor:
    """Draw for each of `labels` [B] another image of another class, every such image equally likely: rows [B] int64.

    Raises OverfocusError where all labels are one class.
    """
    order = labels.argsort(stable=True)
    ordered = labels[order]
    first, end = torch.searchsorted(ordered, labels), torch.searchsorted(ordered, labels, right=True)
    others = len(labels) - (end - first)
    if bool((others == 0).any()):
        raise OverfocusError("mix: all images are of one class; give images of two classes or more")
    # float64, as float32 times a count of images can round up to the count itself.
    ahead = (key.fold_in("partners").uniform(len(labels))[:, 0].to(labels.device).double() * others).long()
    return order[(end + ahead) % len(labels)]


def classmates(labels: Tensor, key: Key) -> Tensor:
    """Draw for each of `labels` [B] another image of its class, every such image equally likely: rows [B] int64; -1
    where there is none.
    """
    order = labels.argsort(stable=True)
    ordered = labels[order]
    first, end = torch.searchsorted(ordered, labels), torch.searchsorted(ordered, labels, right=True)
    own = order.argsort() - first
    ahead = (key.fold_in("classmates").uniform(len(labels))[:, 0].to(labels.device).double() * (end - first - 1)).long()
    drawn = order[first + (own + 1 + ahead) % (end - first)]
    return torch.where(end - first > 1, drawn, -1)


def _share(lam: float) -> float:
    if not 0 <= lam <= 1:
        raise OverfocusError(f"mix: lambda is {lam}; give a share in [0, 1]")
    return float(lam)
