"""What it costs to hide what a map shows first, beside what the same holes cost elsewhere."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.hiding_orders import hidden, orders_of

SHARES = (0.05, 0.1, 0.2, 0.35, 0.5)
"""Of the pixels, hidden: where a map that is right and one that is not differ most."""
ORDERS = ("salient", "control")


@torch.no_grad()
def probabilities(
    classifier: Classifier, pixels: Tensor, maps: Tensor, key: Key, shares: tuple[float, ...] = SHARES,
    fill: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Return for each of `ORDERS` the probability of the first prediction with each of `shares` hidden: [S, B] float32;
    NaN where a map has no positive part, or values that are not finite.

    pixels: [B, C, H, W] in [0, 1]. maps: [B, H, W], of the size of the pictures. key: that of the pictures' places in
    the sample. fill: what hidden pixels show, broadcast; the mean colour unless given. Takes 2 S + 1 passes.
    """
    first = classifier(pixels).argmax(dim=1, keepdim=True)
    nothing = (maps.flatten(1).relu().sum(dim=1) <= 0) | ~maps.flatten(1).isfinite().all(dim=1)
    fill = classifier.fill if fill is None else fill
    found = {}
    for name, (_, order) in zip(ORDERS, islice(orders_of(maps, key), len(ORDERS)), strict=True):
        shown = (classifier(hidden(pixels, order, share, fill)) for share in shares)
        kept = torch.stack([logits.softmax(dim=1).gather(1, first)[:, 0] for logits in shown])
        found[name] = kept.masked_fill(nothing, torch.nan)
    return found
