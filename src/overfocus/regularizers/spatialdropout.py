"""SpatialDropout: zero whole channels at random, since neighbouring positions of one channel carry the same.

Source: Tompson et al., "Efficient Object Localization Using Convolutional Networks" (CVPR 2015, 1411.4280), section
3.2.

Formula: z[c] <- z[c] * m[c] / (1 - drop), every m[c] drawn by itself, 0 with probability `drop` and 1 otherwise.

Settings
    drop  probability that a channel is zeroed, in [0, 0.99]
    at    `features` (the objective's cut), a layer's name, or `image`

On tokens [B, N, D] a channel is one of D over all tokens; on vectors [B, D] it is one element, which is plain dropout.

When it does not help: with few channels a draw removes much at once. The DropBlock paper reports blocks to do
better on ImageNet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.regularizers.regularizer import FEATURES, Transform, check_range


@dataclass(frozen=True)
class SpatialDropout(Transform):
    """Zero whole channels."""

    filling = "mean"
    drop: float = 0.2
    at: str = FEATURES

    def __post_init__(self) -> None:
        check_range(self, "drop", 0, 0.99)

    def act(self, batch: Batch, key: Key) -> Batch:
        """Drop channels of images [B, C, H, W] or features [B, C, h, w], [B, N, D] or [B, D]."""
        kept = key.uniform(len(batch), batch.values.shape[channel_axis(batch.values)]) >= self.drop
        dropped = 1 - kept.float().mean(dim=1)
        result = replace(batch, values=spatialdropout(batch.values, kept, self.drop))
        return result.noting(spatialdropout_dropped=dropped, spatialdropout_rate=(dropped > 0).float())


def spatialdropout(values: Tensor, kept: Tensor, drop: float) -> Tensor:
    """Zero the channels of `values` that are not `kept` [B, C], and divide the others by 1 - drop."""
    shape = [len(values), *[1] * (values.ndim - 1)]
    shape[channel_axis(values)] = kept.shape[1]
    return values * (kept.to(values.dtype) / (1 - drop)).reshape(shape)


def channel_axis(values: Tensor) -> int:
    """Return the axis of the channels: the second one, but the last of tokens [B, N, D]."""
    return 2 if values.ndim == 3 else 1
