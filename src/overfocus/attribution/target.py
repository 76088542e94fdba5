"""Which logit is attributed, as weights of the logits: one value for a label, a class or a mixture."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.targets import Targets

Target = str | int | Tensor
"""`predicted`, `label` (which needs labels), a class, a class for each image [B], or weights of the logits [B, K]."""


def target_weights(logits: Tensor, target: Target = "predicted", labels: Tensor | None = None) -> Tensor:
    """Return the weights [B, K] float32 by which the `logits` [B, K] add up to what is attributed.

    `predicted` is the largest logit; `label` is that of `labels`, [B] integers or [B, K] soft labels; an integer is one
    class for all images and integers [B] one for each; floats [B, K] are the weights themselves, such as a distribution
    or the difference of two classes. Raises UnknownName or OverfocusError for anything else.
    """
    if isinstance(target, str):
        return _named(logits, target, labels)
    if isinstance(target, int) and not isinstance(target, bool):
        target = torch.full((len(logits),), target, device=logits.device)
    if not isinstance(target, Tensor):
        raise OverfocusError(f"target is a {type(target).__name__}; {_CHOICES}")
    return _given(logits, target.detach().to(logits.device), "target")


def weighing(target: Target = "predicted", labels: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """Return the function of logits [B, K] that gives their `target_weights`."""
    return lambda logits: target_weights(logits.detach(), target, labels)


_CHOICES = "give 'predicted', 'label', a class, classes [B] as integers or weights of the logits [B, K] as floats"


def _named(logits: Tensor, target: str, labels: Tensor | None) -> Tensor:
    if target == "predicted":
        return F.one_hot(logits.detach().argmax(dim=1), logits.shape[1]).float()
    if target != "label":
        raise UnknownName("target", target, ("predicted", "label"))
    if labels is None:
        raise OverfocusError("target 'label' needs `labels`; give them, or take target='predicted'")
    return _given(logits, torch.as_tensor(labels).detach().to(logits.device), "labels")


def _given(logits: Tensor, given: Tensor, what: str) -> Tensor:
    """Read classes [B] or weights [B, K]."""
    count, classes = logits.shape
    if given.shape == (count,) and not given.is_floating_point() and given.dtype != torch.bool:
        _check_classes(given, classes, what)
        return Targets.of(given).dense(classes)
    if given.shape != logits.shape or not given.is_floating_point():
        raise OverfocusError(
            f"{what} is {given.dtype} of shape {tuple(given.shape)} for logits {tuple(logits.shape)}; {_CHOICES}"
        )
    if not given.isfinite().all():
        raise OverfocusError(f"{what} holds weights that are no numbers (NaN or infinite)")
    return given.float()


def _check_classes(given: Tensor, classes: int, what: str) -> None:
    wrong = given[(given < 0) | (given >= classes)]
    if len(wrong):
        raise OverfocusError(f"{what} names class {int(wrong[0])}; the model has classes 0 to {classes - 1}")
