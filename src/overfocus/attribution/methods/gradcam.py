"""Grad-CAM: the features added up, each channel weighed by its mean gradient.

Source: Selvaraju et al., "Grad-CAM" (ICCV 2017, 1610.02391), equations 1 and 2.

Formula: a_c = mean over positions of g_c; L = ReLU(sum_c a_c A_c), A the features of the layer, g the gradient of the
logit to them.

Settings: none.

Where it misleads: the mean of the gradient throws away where it came from, so behind anything but mean pooling (a
flattened map, an attention, an earlier layer) it can light up what the answer does not depend on; HiResCAM does not. At
the last layer in front of mean pooling it is CAM, with a ReLU and divided by the number of positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class GradCAM(LayerMethod):
    """Channels weighed by their mean gradient; at least 0."""

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        return (features * gradient.mean(dim=(2, 3), keepdim=True)).sum(dim=1).relu()
