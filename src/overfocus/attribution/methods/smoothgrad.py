"""SmoothGrad: the gradient to the pixels, averaged over noisy copies of the image.

Source: Smilkov et al., "SmoothGrad" (2017, 1706.03825).

Formula: L = sum over colours of |mean_i d logit / dx (x + n_i)|, n_i ~ N(0, (noise (max x - min x))^2).

Settings
    samples   noisy copies of each image; the paper uses 50
    noise     standard deviation as a share of the image's range; the paper recommends 0.1 to 0.2
    absolute  True takes the size of the mean gradient in each colour, as the paper's pictures do; False keeps the sign
    chunk     images in one forward and backward
    seed      of the noise: equal calls give equal maps, and the global random state is not touched
    shared    True adds the same noise to every image, so that a map does not depend on the images beside it

Where it misleads: a gradient says what would change the answer, not what made it. Size without sign counts evidence for
and against alike. The noise is a scale: it blurs what is finer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.attribution.attribution import ClassScore, PixelMethod, check
from overfocus.core.key import Key


@dataclass(frozen=True)
class SmoothGrad(PixelMethod):
    """Mean gradient to noisy images; at least 0 with `absolute`, in logits for each unit of the input."""

    samples: int = 25
    noise: float = 0.15
    absolute: bool = True
    chunk: int = 64
    seed: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        check(self, "samples", 1, 100_000, whole=True)
        check(self, "noise", 0, 100)
        check(self, "chunk", 1, 2**20, whole=True)
        check(self, "seed", -(2**63), 2**63 - 1, whole=True)

    def _map(self, score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
        copies = max(self.chunk // len(images), 1)
        key = Key.seeded(self.seed, device=images.device)
        total = torch.zeros_like(images, dtype=torch.float32)
        for start in range(0, self.samples, copies):
            noisy = [self._noisy(images, key.fold_in(i)) for i in range(start, min(start + copies, self.samples))]
            total += (
                _gradients(score, torch.cat(noisy), weights.repeat(len(noisy), 1)).unflatten(0, (len(noisy), -1)).sum(0)
            )
        mean = total / self.samples
        return (mean.abs() if self.absolute else mean).sum(dim=1)

    def _noisy(self, images: Tensor, key: Key) -> Tensor:
        """Add to every image the noise of its own row, or that of the first."""
        spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        rows = 1 if self.shared else len(images)
        noise = key.normal(rows, images[0].numel()).view(rows, *images.shape[1:])
        return images + (self.noise * spread.float() * noise).to(images.dtype)


def _gradients(score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = images.requires_grad_()
        found = score(leaf, weights)
        (gradient,) = torch.autograd.grad(found, leaf, torch.ones_like(found))
    return gradient.float()
