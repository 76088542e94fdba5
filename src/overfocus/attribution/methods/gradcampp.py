"""Grad-CAM++: Grad-CAM whose channels are weighed by a weighed sum of their positive gradients.

Source: Chattopadhyay et al., "Grad-CAM++" (WACV 2018, 1710.11063), equations 5, 7 and 19, with the score exp(logit),
for which the second and third derivatives are powers of the gradient.

Formula: alpha = g^2 / (2 g^2 + (sum A_c) g^3); w_c = sum over positions of alpha ReLU(g);
L = ReLU(sum_c w_c A_c).

Settings: none.

Differs from the usual code: the fraction is cancelled to 1 / (2 + (sum A_c) g), which needs no small number against
a division by zero. Such a number (1e-6 beside g^2 in one library) is as large as the squared gradients of a mean-pooled
head, which are about 1e-3 each. A denominator of exactly 0 has no answer.

Where it misleads: alpha depends on the scale of the logits. Features with negative values can turn a denominator
negative, and with it the sign of the evidence. In practice it is close to a mean of positive gradients: compare with
Grad-CAM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class GradCAMpp(LayerMethod):
    """Channels weighed by their positive gradients; at least 0."""

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        denominator = 2 + features.sum(dim=(2, 3), keepdim=True) * gradient
        # Where the gradient is 0, so is its part of the weight, whatever alpha is.
        weight = (gradient.relu() / denominator.where(denominator != 0, torch.nan)).sum(dim=(2, 3), keepdim=True)
        return (features * weight).sum(dim=1).relu()
