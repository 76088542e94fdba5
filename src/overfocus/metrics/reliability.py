"""The reliability diagram: how often a model is right in each bin of its confidence (Guo 1706.04599)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.metrics.binning import BINS, Placed


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram: [bins] float64 each; NaN in a bin without images."""

    count: Tensor
    confidence: Tensor
    """Mean confidence in the bin."""
    accuracy: Tensor
    """Mean hit in the bin: equal to the confidence where the model is calibrated."""
    edges: Tensor
    """[bins + 1]; a bin holds its right edge."""


def diagram(confidence: Tensor, hit: Tensor, bins: int = BINS) -> Diagram:
    """Return the reliability diagram of `confidence` [N] and `hit` [N], both in [0, 1] without NaN."""
    count, confidences, hits, _ = Placed.of(confidence, hit, bins).tables().bins.sums.unbind(1)
    return Diagram(count, confidences / count, hits / count, torch.linspace(0, 1, bins + 1, dtype=torch.float64))
