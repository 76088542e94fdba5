"""CAM: the last features, each channel weighed by the class's weight in the linear layer behind the pooling.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016, 1512.04150), equation 2.

Formula: L = sum_c w_kc A_c for the logit k; no ReLU, no bias. Its mean over positions plus the bias is the logit.

Settings: none.

Only for heads that are mean pooling and one linear layer, which is not guessed from their modules but proved: a copy of
the model with random features in place of the layer's must answer as that linear layer does. For any other head it says
so. HiResCAM is the same map divided by the number of positions, wherever CAM is defined.

Where it misleads: the receptive field of a position is usually most of the image, so a place on the map is not a place
that the answer depends on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overfocus.attribution.attribution import Attribution, Weigh
from overfocus.attribution.cache import cached
from overfocus.attribution.capture import Activations, capture
from overfocus.attribution.frozen_eval import frozen_eval, hooked, own_images
from overfocus.attribution.head import Head
from overfocus.core.errors import OverfocusError


@dataclass(frozen=True)
class CAM(Attribution):
    """Channels weighed by the linear layer behind mean pooling; of both signs."""

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        activations = capture(model, images, at)
        weights = weigh(activations.logits)
        with frozen_eval(model) as lent:
            weight = _weight(lent, activations, own_images(images[:1]).expand(2, -1, -1, -1))
            return torch.einsum("bk,kc,bchw->bhw", weights, weight, activations.features.float())


def _weight(model: nn.Module, activations: Activations, images: Tensor) -> Tensor:
    """Return the weight [K, C] of the linear layer that is all of the head behind mean pooling."""

    def behind(model: nn.Module, features: Tensor) -> Tensor:
        """Run the part behind the layer, by running all of it."""
        # Copied, since what is behind may write to it: an in-place ReLU would make the proof agree with itself.
        given = activations.grid.laid_out(features).clone()
        with hooked({model.get_submodule(activations.layer): lambda *_: given}):
            return model(images.to(given.dtype).clone())

    linear = cached(model, ("linear", activations.layer, images.shape), lambda: Head.of(model, behind).linear)
    if not linear:
        raise OverfocusError(
            f"cam: after layer {activations.layer!r} of {type(model).__name__} there is not just mean pooling and "
            "one linear layer; take hirescam, which is the same map where there is, or gradcam"
        )
    return model.get_parameter(f"{linear}.weight").detach().float()
