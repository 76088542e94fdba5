"""HiResCAM: gradient times features, added up over channels.

Source: Draelos and Carin, "Use HiResCAM instead of Grad-CAM" (2011.08891).

Formula: L = sum_c g_c A_c, position by position; the gradient is not averaged.

Settings: none.

The sign is kept: what is negative speaks against the class. Where one linear layer follows the features, pooled or
flattened, the map adds up to the logit less its bias.

Where it misleads: at an earlier layer the gradient is noisy from position to position, and so is the map. Behind mean
pooling and a linear layer it is CAM divided by the number of positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class HiResCAM(LayerMethod):
    """Gradient times features; of both signs."""

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        return (features * gradient).sum(dim=1)
