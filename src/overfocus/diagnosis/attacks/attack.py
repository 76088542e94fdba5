"""Attacks on pixels: the smallest change of an image that moves the prediction, sought along the gradient.

Images are in [0, 1] and the model normalises them itself, so that a size is in pixels. All attacks are untargeted, on
the label's cross-entropy. Sizes in use, as in RobustBench: CIFAR 8/255 (largest change) or 0.5 (L2), ImageNet 4/255.
`region` keeps an attack to a part of the image: is a model weak where it looks, or beside?

A model that is not trained against attacks is expected to fail nearly always under PGD; what FGSM leaves is no
robustness, so read it beside PGD. What PGD leaves is an upper bound: gradients may be masked, see `gradient_masking`.
Each step of `captum.robust.PGD` in L2 goes along the sign; here, as in the paper, along the gradient.
Sources: FGSM 1412.6572, PGD 1706.06083, the signs of masked gradients 1802.00420, AutoAttack 2003.01690.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.modes import in_mode
from overfocus.diagnosis.attacks import ball
from overfocus.diagnosis.attacks.ball import Norm
from overfocus.diagnosis.pixels import checked, uniform

Model = Callable[[Tensor], Tensor]
"""Pixels [B, C, H, W] in [0, 1] -> logits [B, K]. A module in training mode is held in evaluation mode meanwhile."""
Loss = Literal["ce", "margin"]
"""Cross-entropy, or the largest logit of another class less the label's (1608.04644, f6), which is 0 at the border."""


class Attack(Protocol):
    """A change of size `eps` of images [B, C, H, W], made against their labels [B]."""

    @property
    def eps(self) -> float:
        """Largest change: of a value in [0, 1], or of an image in L2."""
        ...

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return changed images in [0, 1], of the same shape and type; only pixels in `region` [B, 1, H, W] change.

        An image with a gradient that is not finite comes back with NaN in it.
        """
        ...


@dataclass(frozen=True)
class SignNoise:
    """The control without a gradient: every value moves up or down by `eps`, as under FGSM, but by chance."""

    eps: float = 8 / 255

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return images [B, C, H, W] with random signs of size `eps` added. Neither model nor labels are used."""
        clean, mask = checked(pixels, "noise of random signs"), region_mask(pixels, region)
        sign = torch.where(uniform(key.fold_in("signs"), clean) < 0.5, -1.0, 1.0)
        return (clean + self.eps * sign * mask).clamp(0, 1).to(pixels.dtype)


@dataclass(frozen=True)
class FGSM:
    """One step: x + eps sign(gradient), clipped to [0, 1]."""

    eps: float = 8 / 255

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return attacked images [B, C, H, W]; nothing is drawn."""
        clean, mask = checked(pixels, "FGSM"), region_mask(pixels, region)
        gradient = gradients(model, clean, labels, pixels.dtype)
        return (clean + self.eps * ball.sign(gradient) * mask).clamp(0, 1).to(pixels.dtype)


@dataclass(frozen=True)
class PGD:
    """`steps` steps of size `step` up the loss, each followed by projection to the ball of `eps` and to [0, 1].

    In L2 a step goes along the gradient of length `step` (2.5 eps / steps is customary, as in 1706.06083: 0.125 for
    0.5 in ten), the gradient taken in the region only. `start` begins at a random point, even in the ball.

    The last step counts, fooled or not; with `stop`, the first point at which the model names another class, or none.
    That is no weaker, and far cheaper for a model that falls at once: fooled images are not attacked further.
    """

    eps: float = 8 / 255
    step: float = 2 / 255
    steps: int = 10
    norm: Norm = "linf"
    start: bool = True
    stop: bool = False

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise OverfocusError(f"PGD: norm is {self.norm!r}; take 'linf' or 'l2'")

    def attack(self, model: Model, pixels: Tensor, labels: Tensor, key: Key, region: Tensor | None = None) -> Tensor:
        """Return attacked images [B, C, H, W]."""
        clean, mask = checked(pixels, "PGD"), region_mask(pixels, region)
        change = torch.zeros_like(clean)
        if self.start:
            change = self._project(ball.drawn(key, clean, mask, self.eps, self.norm), clean)
        rows = torch.arange(len(clean), device=clean.device)
        left, change = _Images(rows, clean, labels.to(clean.device), mask, change), change.clone()
        for _ in range(self.steps):
            gradient, answers = climbed(model, left.clean + left.change, left.labels, pixels.dtype)[:2]
            if self.stop:
                change[left.rows] = left.change
                standing = answers == left.labels
                left, gradient = left.of(standing), gradient[standing]
                if not len(left.rows):
                    break
            upward = ball.upward(gradient * left.mask, self.norm)
            left = replace(left, change=self._project(left.change + self.step * upward, left.clean))
        change[left.rows] = left.change
        return (clean + change).clamp(0, 1).to(pixels.dtype)

    def _project(self, change: Tensor, clean: Tensor) -> Tensor:
        return ball.within(change, clean, self.eps, self.norm)


@dataclass(frozen=True)
class _Images:
    """What is still under attack: the rows [n] of a batch, and of each its part."""

    rows: Tensor
    clean: Tensor
    labels: Tensor
    mask: Tensor
    change: Tensor

    def of(self, kept: Tensor) -> _Images:
        """Return those that are `kept` [n] bool."""
        return _Images(self.rows[kept], self.clean[kept], self.labels[kept], self.mask[kept], self.change[kept])


def assess(
    model: Model,
    pixels: Tensor,
    labels: Tensor,
    attacks: Mapping[str, Attack],
    key: Key,
    region: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the classes [B] int64 predicted under each attack of the images [B, C, H, W] with labels [B].

    All attacks draw from the same numbers. -1 stands where the logits hold NaN: no answer, and not right.
    """
    return {name: predicted(model, each.attack(model, pixels, labels, key, region)) for name, each in attacks.items()}


def predicted(model: Model, pixels: Tensor) -> Tensor:
    """Return the predicted classes [B] int64 of images [B, C, H, W]; -1 where the logits hold NaN."""
    with torch.no_grad(), steady(model):
        return named(model(pixels))


def named(logits: Tensor) -> Tensor:
    """Return the class [B] int64 that `logits` [B, K] name; -1, which is no class, where they hold NaN."""
    return torch.where(logits.isnan().any(dim=1), -1, logits.argmax(dim=1))


def gradients(model: Model, pixels: Tensor, labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the gradient of each image's own cross-entropy: [B, C, H, W] float32; the model gets pixels of `dtype`.

    No parameter gets a gradient. Raises OverfocusError where no gradient leads from the logits to the pixels.
    """
    return climbed(model, pixels, labels, dtype)[0]


def climbed(
    model: Model, pixels: Tensor, labels: Tensor, dtype: torch.dtype, loss: Loss = "ce"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of each image's own `loss`, the classes [B] that the images are given, and the losses [B]."""
    with torch.inference_mode(False), torch.enable_grad(), steady(model):
        leaf, labels = pixels.detach().float().clone().requires_grad_(), labels.detach().clone()
        logits = model(leaf.to(dtype))
        gradient, losses = None, torch.empty(0)
        if logits.requires_grad:
            losses = LOSSES[loss](logits.float(), labels)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise OverfocusError(
            "attack: no gradient leads from the logits to the pixels; take a model that does not detach its input"
        )
    return gradient, named(logits.detach()), losses.detach()


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest logit of another class less that of the label: [B], above 0 where the label is not named."""
    own = F.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(dim=1) - logits[own]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {"ce": _cross_entropy, "margin": margin}


def steady(model: Model) -> AbstractContextManager[None]:
    """Hold a module in evaluation mode, and give every part its own mode back; any other callable is left alone."""
    return in_mode(model.modules()) if isinstance(model, nn.Module) else nullcontext()


def region_mask(pixels: Tensor, region: Tensor | None) -> Tensor:
    """Return where an attack may change pixels: [B, 1, H, W], or [B, 1, 1, 1] for all, float32 that multiplies."""
    if region is None:
        return torch.ones(len(pixels), 1, 1, 1, device=pixels.device)
    wanted = (len(pixels), 1, *pixels.shape[-2:])
    if region.shape != wanted or region.dtype != torch.bool:
        raise OverfocusError(
            f"attack: region is {region.dtype} of shape {tuple(region.shape)}; give bool {wanted}, true where pixels "
            "may change"
        )
    return region.to(pixels.device, torch.float32)
