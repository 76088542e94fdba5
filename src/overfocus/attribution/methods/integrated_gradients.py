"""Integrated gradients: the gradient to the pixels, averaged on the way from an empty image, times that way.

Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks" (ICML 2017, 1703.01365), equation 1, by
Gauss-Legendre quadrature in captum.

Formula: L = sum over colours of (x - x0) integral_0^1 d logit / dx (x0 + a (x - x0)) da. It adds up to
logit(x) - logit(x0).

Settings
    steps     points of the integral
    baseline  value of every pixel of x0, in the units of the model's input; 0 is the mean of normalised data
    chunk     images in one forward and backward

Where it misleads: what equals the baseline gets nothing, however much it matters (a black object on a black x0). Single
pixels are noisy, so the map looks scattered whatever the model does: compare it only with its own kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.attribution.attribution import ClassScore, PixelMethod, check


@dataclass(frozen=True)
class IntegratedGradients(PixelMethod):
    """Mean gradient on the way from the baseline, times the way; of both signs, in logits."""

    steps: int = 32
    baseline: float = 0.0
    chunk: int = 64

    def __post_init__(self) -> None:
        check(self, "steps", 1, 100_000, whole=True)
        check(self, "baseline", float("-inf"), float("inf"))
        check(self, "chunk", 1, 2**20, whole=True)

    def _map(self, score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
        from captum.attr import IntegratedGradients as Captum

        with torch.enable_grad():
            found = Captum(score, multiply_by_inputs=True).attribute(
                images,
                baselines=float(self.baseline),
                additional_forward_args=weights,
                n_steps=self.steps,
                internal_batch_size=max(self.chunk, len(images)),
            )
        return found.sum(dim=1)
