"""Dropout: zero single features at random, and scale up the others so that the mean stays.

Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (JMLR 2014).

Formula: z <- z * m / (1 - drop), every element of m drawn by itself, 0 with probability `drop` and 1 otherwise.

Settings
    drop  probability that an element is zeroed, in [0, 0.99]
    at    `features` (the objective's cut), a layer's name, or `image`

Differs from the paper: scales in training instead of at test time, as everybody does today.

When it does not help: before a mean over positions, where neighbouring features carry the same, dropping single ones
changes little; blocks, positions or channels remove more. Before a batch norm it can hurt: the variance in training is
not that of the test (Li et al., 1801.05134).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.regularizers.regularizer import FEATURES, Transform, check_range


@dataclass(frozen=True)
class Dropout(Transform):
    """Zero single features."""

    filling = "mean"
    drop: float = 0.5
    at: str = FEATURES

    def __post_init__(self) -> None:
        check_range(self, "drop", 0, 0.99)

    def act(self, batch: Batch, key: Key) -> Batch:
        """Drop single values of images [B, C, H, W] or features [B, ...]."""
        kept = key.uniform(len(batch), batch.values[0].numel()) >= self.drop
        dropped = 1 - kept.float().mean(dim=1)
        result = replace(batch, values=dropout(batch.values, kept, self.drop))
        return result.noting(dropout_dropped=dropped, dropout_rate=(dropped > 0).float())


def dropout(values: Tensor, kept: Tensor, drop: float) -> Tensor:
    """Zero the elements of `values` [B, ...] that are not `kept` [B, N], and divide the others by 1 - drop."""
    return values * (kept.to(values.dtype) / (1 - drop)).reshape(values.shape)
