"""Score-CAM: the features added up, each channel weighed by the logit that the image has where that channel is active.

Source: Wang et al., "Score-CAM" (CVPR Workshops 2020, 1910.01279), equations 3 to 6.

Formula: H_c = A_c upsampled to the image and brought to [0, 1]; s_c = logit of the image times H_c;
L = ReLU(sum_c softmax(s)_c A_c). The paper's baseline is the same for all channels and cancels in the softmax.

Settings
    chunk     masked images in one forward; more is faster and takes more memory

A channel that is the same everywhere points nowhere and is left out, as in the authors' code. An image with no other
has no answer.

Where it misleads: masked images are unlike those the model was trained on, multiplying by a mask means darkening to the
mean of the data, and the softmax of logits often gives one channel nearly all of the weight. One forward for each
channel: 512 of them for a ResNet-18.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.attribution.attribution import Attribution, ClassScore, Weigh, check
from overfocus.attribution.capture import capture
from overfocus.attribution.frozen_eval import frozen_eval


@dataclass(frozen=True)
class ScoreCAM(Attribution):
    """Channels weighed by the logit of the image seen through them; at least 0."""

    chunk: int = 64

    def __post_init__(self) -> None:
        check(self, "chunk", 1, 2**20, whole=True)

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        activations = capture(model, images, at)
        features, weights = activations.features, weigh(activations.logits)
        del activations  # and with it the graph
        with frozen_eval(model) as lent:
            score, channels = ClassScore(lent), max(self.chunk // len(images), 1)
            parts = [_scores(score, images.detach(), part, weights) for part in features.split(channels, dim=1)]
            share = torch.cat(parts, dim=1).softmax(dim=1)[:, :, None, None]
            return (features.float() * share).sum(dim=1).relu()


def _scores(score: ClassScore, images: Tensor, features: Tensor, weights: Tensor) -> Tensor:
    """Return the weighed logits [B, c] of the images seen through each of the channels [B, c, h, w]; -inf for those
    that are the same everywhere.
    """
    count = features.shape[1]
    masks = F.interpolate(features.float(), images.shape[2:], mode="bilinear", align_corners=False)
    low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
    masked = images[:, None] * ((masks - low) / (high - low)).to(images.dtype)[:, :, None]
    found = score(masked.flatten(0, 1), weights.repeat_interleave(count, dim=0)).float().unflatten(0, (-1, count))
    return found.masked_fill(high.eq(low)[:, :, 0, 0], -torch.inf)
