"""The training pictures that a network finds most like a given one: by the cosine of its pooled features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier


@torch.no_grad()
def pooled(classifier: Classifier, pixels: Tensor) -> Tensor:
    """Return the features of `pixels` [B, C, H, W] in [0, 1] at the layer `at`, averaged over positions: [B, D] of
    length 1, on the processor.
    """
    with classifier.examined():
        features = classifier.capture(pixels.to(classifier.device)).features
    return F.normalize(features.float().flatten(2).mean(dim=2), dim=1).cpu()


def nearest(features: Tensor, known: Tensor, count: int) -> list[tuple[int, float]]:
    """Return the rows of `known` [N, D] that are most like `features` [D], with their cosine, the likest first."""
    similarity = known @ features
    values, rows = similarity.topk(min(count, len(known)))
    return list(zip(rows.tolist(), values.tolist(), strict=True))
