"""EigenCAM: the features projected on the direction in which they are largest. The same map for every class.

Source: Muhammad and Yeasin, "Eigen-CAM" (IJCNN 2020, 2008.00299): the projection of the features on the first right
singular vector.

Formula: X [h w, C] the features of an image, X = U S V^T; L = X v_1.

Settings
    centred   False as in the paper; True takes the mean of each channel off first, so that v_1 is the first principal
              component and a channel that is on everywhere no longer decides

A singular vector has no sign. It is chosen so that the value of largest size is positive.

Where it misleads: it does not ask what the classifier answers, so it can show a salient thing that the class does not
depend on, and it says nothing about one class against another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class EigenCAM(LayerMethod):
    """Features on their first singular direction; of both signs."""

    centred: bool = False
    needs_gradient: ClassVar[bool] = False

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        values = features.flatten(2).transpose(1, 2)
        if self.centred:
            values = values - values.mean(dim=1, keepdim=True)
        usable = values.isfinite().all(dim=(1, 2))
        # The decomposition of the whole batch stops at one value that is not finite.
        left, size, _ = torch.linalg.svd(torch.where(usable[:, None, None], values, 0), full_matrices=False)
        projected = left[:, :, 0] * size[:, :1]
        largest = projected.gather(1, projected.abs().argmax(dim=1, keepdim=True))
        signed = torch.where(largest < 0, -projected, projected)
        return torch.where(usable[:, None], signed, torch.nan).unflatten(1, features.shape[2:])
