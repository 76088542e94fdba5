"""Integrated gradients: the gradient to the pixels, averaged on the way from an empty image, times that way.

Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks" (ICML 2017, 1703.01365), equation 1, by
Gauss-Legendre quadrature in captum.

Formula: L = sum over colours of (x - x0) integral_0^1 d logit / dx (x0 + a (x - x0)) da. It adds up to
logit(x) - logit(x0), which is checked: the relative convergence delta of an image is
|sum L - (logit(x) - logit(x0))| / |logit(x) - logit(x0)|.

Settings
    steps     points of the integral; where the delta is above the limit, four times as many
    baseline  x0: a number is the value of every pixel, in the units of the model's input (0 is the mean of normalised
              data); `mean` the mean colour of the image; `blur` the image blurred by 1/8 of its shorter side. `auto`
              tries 0, then `mean`, then `blur`, each with both numbers of steps, until the delta is within the limit,
              for each image by itself; where none is, the one of the smallest delta is taken
    limit     of the relative convergence delta
    chunk     images in one forward and backward

Where no baseline converges, a warning says so, and `overfocus explain` says it beside the map, as it says when another
baseline than 0 was taken: maps of different baselines are not comparable. From a constant image a network that
normalises each position (ConvNeXt) changes its answer within a thousandth of the way, which no number of steps meets.

Where it misleads: what equals the baseline gets nothing, however much it matters (a black object on a black x0). Single
pixels are noisy, so the map looks scattered whatever the model does: compare it only with its own kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overfocus.attribution.attribution import Attribution, ClassScore, Weigh, check
from overfocus.attribution.frozen_eval import fitting, frozen_eval, logits_of, own_images
from overfocus.attribution.target import Target, weighing
from overfocus.core.errors import OverfocusError

AUTO = ("0", "mean", "blur")
"""Baselines in the order in which `auto` tries them."""
MORE = 4
"""Times as many steps at the second attempt."""


@dataclass(frozen=True, eq=False)
class Integral:
    """Maps with what tells how far to believe them, a row for each image."""

    maps: Tensor
    """[B, H, W] float32."""
    delta: Tensor
    """[B] float32: the relative convergence delta, at least 0; infinite from a baseline of the same logit."""
    baseline: tuple[str, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class IntegratedGradients(Attribution):
    """Mean gradient on the way from the baseline, times the way; of both signs, in logits."""

    steps: int = 32
    baseline: float | str = "auto"
    limit: float = 0.05
    chunk: int = 64

    def __post_init__(self) -> None:
        check(self, "steps", 1, 100_000, whole=True)
        if isinstance(self.baseline, str) and self.baseline not in ("auto", *AUTO[1:]):
            raise OverfocusError(
                f"IntegratedGradients: baseline={self.baseline!r} must be a number, 'auto', 'mean' or 'blur'"
            )
        if not isinstance(self.baseline, str):
            check(self, "baseline", float("-inf"), float("inf"))
        check(self, "limit", 0, float("inf"))
        check(self, "chunk", 1, 2**20, whole=True)

    def integrate(
        self, model: nn.Module, images: Tensor, target: Target = "predicted", labels: Tensor | None = None
    ) -> Integral:
        """Map `images` [B, C, H, W] for `target` as a call does, and return with the maps what was used and how well
        they add up.
        """
        return self._integral(model, images, weighing(target, labels))

    def _noted(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> tuple[Tensor, tuple[str, ...]]:
        found = self._integral(model, images, weigh)
        return found.maps, tuple(self._note(found, row) for row in range(len(found.maps)))

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        found = self._integral(model, images, weigh)
        wrong = [row for row in range(len(found.maps)) if found.delta[row] > self.limit]
        if wrong:
            warnings.warn(
                f"integrated_gradients: of {len(wrong)} of {len(found.maps)} images the map does not add up to the "
                f"change of the logit; of image {wrong[0]}: {self._note(found, wrong[0])}",
                stacklevel=3,
            )
        return found.maps

    def _note(self, found: Integral, row: int) -> str:
        delta, taken = float(found.delta[row]), f"baseline {found.baseline[row]}, {found.steps[row]} steps"
        if delta > self.limit:
            return f"relative convergence delta {delta:.2g}, above {self.limit:g} ({taken}): do not read this map"
        return "" if found.baseline[row] in ("0", str(self.baseline)) else f"{taken}: 0 did not converge"

    def _integral(self, model: nn.Module, images: Tensor, weigh: Weigh) -> Integral:
        images = own_images(images)
        with frozen_eval(model) as lent:
            with fitting(lent, images):
                weights = weigh(logits_of(lent, images.clone()))
            return self._best(ClassScore(lent), images, weights)

    def _best(self, score: ClassScore, images: Tensor, weights: Tensor) -> Integral:
        """Attempt all images, and again those that are not within the limit; keep each one's best."""
        maps = images.new_zeros(len(images), *images.shape[2:], dtype=torch.float32)
        delta = maps.new_full((len(images),), float("inf"))
        baseline, steps = [""] * len(images), [0] * len(images)
        for name, count in self._attempts():
            rows = [row for row in range(len(images)) if not steps[row] or delta[row] > self.limit]
            if not rows:
                break
            found, missed = self._attempt(score, images[rows], weights[rows], name, count)
            for number, row in enumerate(rows):
                if not steps[row] or missed[number] < delta[row]:
                    maps[row], delta[row], baseline[row], steps[row] = found[number], missed[number], name, count
        return Integral(maps, delta, tuple(baseline), tuple(steps))

    def _attempts(self) -> Iterator[tuple[str, int]]:
        for name in AUTO if self.baseline == "auto" else (str(self.baseline),):
            yield name, self.steps
            yield name, MORE * self.steps

    def _attempt(
        self, score: ClassScore, images: Tensor, weights: Tensor, baseline: str, steps: int
    ) -> tuple[Tensor, Tensor]:
        """Return maps [B, H, W] and relative convergence deltas [B]."""
        from captum.attr import IntegratedGradients as Captum

        empty = _empty(images, baseline)
        with torch.enable_grad():
            found = Captum(score, multiply_by_inputs=True).attribute(
                images,
                baselines=empty,
                additional_forward_args=weights,
                n_steps=steps,
                internal_batch_size=max(self.chunk, len(images)),
            )
        maps = found.sum(dim=1).detach().float()
        change = (score(images, weights) - score(empty, weights)).float()
        missed = (maps.sum(dim=(1, 2)) - change).abs()
        return maps, torch.where(missed == 0, missed, missed / change.abs())


def _empty(images: Tensor, baseline: str) -> Tensor:
    """Return the baseline of each of `images` [B, C, H, W], of their shape."""
    if baseline == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images).contiguous()
    if baseline == "blur":
        from torchvision.transforms.v2.functional import gaussian_blur

        sigma = min(images.shape[2:]) / 8
        return gaussian_blur(images, [2 * int(2.5 * sigma) + 1] * 2, [sigma, sigma])
    return torch.full_like(images, float(baseline))
