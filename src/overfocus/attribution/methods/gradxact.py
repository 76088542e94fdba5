"""GradxAct: the positive part of gradient times features, added up over channels: what SGDrop drops by.

Source: the map A = ReLU(g * z) of "SGDrop" (2409.17370), element by element; summed over channels here.

Formula: L = sum_c ReLU(g_c A_c).

Settings: none.

Where it misleads: the ReLU stands inside the sum, so a position whose channels cancel still shows; the map is never
narrower than the positive part of HiResCAM's, and does not add up to the logit.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class GradxAct(LayerMethod):
    """Positive products of gradient and features; at least 0."""

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        return (features * gradient).relu().sum(dim=1)
