"""Fused LayerCAM: LayerCAM of the last stages of a network, laid over one another: finer than the last features.

Source: Jiang et al., "LayerCAM" (IEEE TIP 2021, doi 10.1109/TIP.2021.3089943), section III: the maps of shallow layers
are scaled and fused with those of deep ones by the larger value at each position.

Formula: L = mean_s M_s / max M_s over stages s, M_s the LayerCAM of stage s enlarged to the finest; before it the maps
of all stages but the last are scaled, tanh(gamma M_s / max M_s), as the paper does.

Settings
    stages    how many; each is the last layer of its size that nothing of the image gets around, the last is `at`
    gamma     how strongly the maps of the earlier stages are lifted; the paper takes 2
    fusion    `mean` over stages; `max` takes the larger value, as the paper does

A network of one stage, such as a vision transformer, has LayerCAM, scaled to [0, 1].

Where it misleads: every stage counts alike however little of the logit it explains, and edges that any class would use
weigh at the finest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overfocus.attribution.attribution import Attribution, Weigh, check
from overfocus.attribution.capture import capture_stages
from overfocus.core.errors import OverfocusError

FUSIONS = ("mean", "max")


@dataclass(frozen=True)
class FusedLayerCAM(Attribution):
    """LayerCAM of several stages; in [0, 1], at the size of the finest."""

    stages: int = 3
    gamma: float = 2.0
    fusion: str = "mean"

    def __post_init__(self) -> None:
        check(self, "stages", 1, 100, whole=True)
        check(self, "gamma", 1e-6, 1e6)
        if self.fusion not in FUSIONS:
            raise OverfocusError(f"FusedLayerCAM: fusion={self.fusion!r} must be 'mean' or 'max'")

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        seen = capture_stages(model, images, self.stages, at)
        gradients = seen.gradients_of(weigh(seen.logits))
        with torch.no_grad():
            maps = [
                (features.float() * gradient.float().relu()).sum(dim=1).relu()
                for features, gradient in zip(seen.features, gradients, strict=True)
            ]
            *early, last = (_of_most(each) for each in maps)
            scaled = [torch.tanh(self.gamma * each) / torch.tanh(torch.tensor(self.gamma)) for each in early]
            size = maps[0].shape[1:]
            laid = torch.stack([_enlarged(each, size) for each in (*scaled, last)])
            return laid.mean(dim=0) if self.fusion == "mean" else laid.amax(dim=0)


def _of_most(maps: Tensor) -> Tensor:
    """Return `maps` [B, h, w] as shares of the most in each; one of nothing stays nothing."""
    most = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, maps)


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return nn.functional.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
