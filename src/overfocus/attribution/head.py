"""Attribution of a logit to the features in front of a head: A = ReLU(gradient * features), element by element.

This is the map of SGDrop (2409.17370); summed over channels it is HiResCAM with the ReLU inside. Where the head is mean
pooling and one linear layer, the gradient is the class's row of weights over HW and no autograd is needed; that a head
is such a head is not guessed from its modules but proved on random features. Any other head is run forward and back by
itself, never the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.deprecation import renamed_property
from overfocus.core.head_probe import HeadAttribution, Target
from overfocus.core.modes import in_mode
from overfocus.core.targets import MultiTargets, Targets


@dataclass(frozen=True)
class Head:
    """The part of a model behind the features, as a function of the model."""

    run: Callable[[nn.Module, Tensor], Tensor]
    """(model, features [B, ...]) -> logits [B, K]."""
    linear: str = ""
    """Name of the linear layer where the head is mean pooling over positions and that layer; empty where it is not."""
    unsteady: tuple[str, ...] = ()
    """Names of modules that draw or keep statistics, which a probe runs in evaluation mode."""

    @staticmethod
    def of(model: nn.Module, run: Callable[[nn.Module, Tensor], Tensor]) -> Head:
        """Describe the head `run` of `model`, and find out whether the closed form holds for it."""
        unsteady = tuple(name for name, module in model.named_modules() if _is_unsteady(module))
        return Head(run, _pooled_linear(model, run, unsteady), unsteady)

    def attribute(self, model: nn.Module, features: Tensor, targets: Targets, target: Target) -> HeadAttribution:
        """Attribute the logit of `target` (see `HeadProbe`) to `features`; leaves no trace in `model`."""
        features = features.detach()
        if self.linear and (linear := model.get_submodule(self.linear)).weight.ndim == 2:
            with torch.no_grad():
                return _closed_form(linear, features, targets, target)  # type: ignore[arg-type]
        with held(model, self.unsteady):
            return _by_gradient(lambda z: self.run(model, z), features, targets, target)

    @torch.no_grad()
    def answer(self, model: nn.Module, features: Tensor) -> Tensor:
        """Return the logits [B, K] of `features` [B, ...], with no graph; leaves no trace in `model`."""
        with no_autocast_cache(), held(model, self.unsteady):
            return self.run(model, features.detach())

    look = renamed_property("Head", "look", "attribute")


def _closed_form(linear: nn.Linear, features: Tensor, targets: Targets, target: Target) -> HeadAttribution:
    """Attribute through mean pooling and `linear`: the gradient of logit k is weight[k] / HW at every position."""
    # Detached: autocast keeps what it casts, and up to torch 2.7 at least, a weight cast without a graph then stays
    # without a gradient in the forward that trains.
    weight, bias = linear.weight.detach(), None if linear.bias is None else linear.bias.detach()
    logits = F.linear(_pooled(features), weight, bias)
    targets, target = _asked(logits, targets, target)
    if target == "soft":
        gradient = logits.float().softmax(dim=1).to(weight.dtype) @ weight
    elif target == "predicted":
        gradient = weight[logits.argmax(dim=1)]
    else:
        gradient = targets.weigh(weight)
    positions = features[0, 0].numel()
    gradient = (gradient / positions).to(features.dtype).reshape(*features.shape[:2], *[1] * (features.ndim - 2))
    return HeadAttribution((features * gradient).relu(), logits)


def _by_gradient(
    run: Callable[[Tensor], Tensor], features: Tensor, targets: Targets, target: Target
) -> HeadAttribution:
    """Attribute through any head by one pass forward and back through it."""

    def score(z: Tensor) -> tuple[Tensor, Tensor]:
        logits = run(z)
        return _weighed(logits, targets, target).sum(), logits

    if torch.compiler.is_compiling():  # autograd.grad breaks the graph, torch.func.grad does not
        gradient, logits = torch.func.grad(score, has_aux=True)(features)
    else:
        with torch.enable_grad():
            leaf = features.requires_grad_()
            total, logits = score(leaf)
            (gradient,) = torch.autograd.grad(total, leaf)
    features = features.detach()
    return HeadAttribution((features * gradient).relu(), logits.detach())


def _weighed(logits: Tensor, targets: Targets, target: Target) -> Tensor:
    """Return the logit of `target`: [B]."""
    targets, target = _asked(logits, targets, target)
    if target == "soft":
        return (logits * logits.detach().float().softmax(dim=1)).sum(dim=1)
    if target == "predicted":
        return logits.amax(dim=1)
    return targets.score(logits)


def _asked(logits: Tensor, targets: Targets, target: Target) -> tuple[Targets, Target]:
    """Return what is attributed; what is predicted of several labels is a target like those that are given."""
    if isinstance(targets, MultiTargets) and target != "label":
        return targets.answered(logits.detach(), target), "label"
    return targets, target


def _pooled(features: Tensor) -> Tensor:
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)


def held(model: nn.Module, names: tuple[str, ...]) -> AbstractContextManager[None]:
    """Put the modules `names` of `model` in evaluation mode for a while: no dropout, no running statistics."""
    return in_mode(model.get_submodule(name) for name in names)


@contextmanager
def no_autocast_cache() -> Iterator[None]:
    """Keep autocast from storing weights that were cast without gradients: on older releases of torch a later training
    step would take them.
    """
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)


def _is_unsteady(module: nn.Module) -> bool:
    kind = type(module).__name__.lower()
    return hasattr(module, "running_mean") or hasattr(module, "dropout") or "drop" in kind or "stochastic" in kind


def _pooled_linear(model: nn.Module, run: Callable[[nn.Module, Tensor], Tensor], unsteady: tuple[str, ...]) -> str:
    """Return the name of the linear layer that, behind mean pooling, is all of the head; empty where there is none.

    The proof is numerical: random features, both computations, equal to float precision.
    """
    probe = _shifted(model)
    for name, linear in reversed(list(probe.named_modules())):
        if isinstance(linear, nn.Linear):
            shapes = ((2, linear.in_features, 3, 2), (2, linear.in_features))
            return name if any(_agrees(probe, run, linear, shape, unsteady) for shape in shapes) else ""
    return ""


@torch.no_grad()
def _shifted(model: nn.Module) -> nn.Module:
    """Copy `model`, with all its numbers moved: a new batch norm or zeroed branch does nothing, but not for long."""
    copy = deepcopy(model).float()
    for value in (*copy.parameters(), *copy.buffers()):
        if value.is_floating_point():
            value.mul_(0.9).add_(0.3)
    return copy


def _agrees(
    model: nn.Module,
    run: Callable[[nn.Module, Tensor], Tensor],
    linear: nn.Linear,
    shape: tuple[int, ...],
    unsteady: tuple[str, ...],
) -> bool:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(linear.weight)
    try:
        with torch.no_grad(), held(model, unsteady):
            logits, expected = run(model, features), F.linear(_pooled(features), linear.weight, linear.bias)
        return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-3, atol=1e-4)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError):
        return False  # a head that does not even take such features is not that head
