"""Which layer holds the last features that lie over the image and that the answer depends on.

The last layer with positions is not always it: the patch tokens that the last block of a vision transformer gives are
read by nobody where a class token is classified. So the rule asks for a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from overfocus.attribution.cache import cached
from overfocus.attribution.frozen_eval import checked_logits, frozen_eval, hooked, own_images
from overfocus.attribution.grid import Grid, ImageShape
from overfocus.core.errors import OverfocusError


def features_layer(model: nn.Module, images: Tensor) -> str:
    """Return the name of the last layer whose output is a grid of more than one position and to which the predicted
    logit has a gradient that is not zero everywhere.

    Found on the first of `images` [B, C, H, W], so that it does not hang on the batch; on all of them where the first
    has no gradient at all. Where none has, it is the last grid with a way to the logits. An adaptive pool that makes
    more positions than it takes (VGG and AlexNet below their own size) ends the search, as its positions are copies of
    fewer. Layers that run several times are left out, and the parts of an attention come last: the queries and keys of
    a position are not its features. Leaves no trace. Raises OverfocusError where there is no grid on the way to the
    logits.
    """
    images = own_images(images)
    with frozen_eval(model) as lent:
        return last_features(lent, images)


def last_features(model: nn.Module, images: Tensor) -> str:
    """Do the same with a model in `frozen_eval`, once for images of one size while the model is unmodified."""

    def answered() -> str:
        """Return the layer with a gradient for the first image; "" where there is none, which is not for keeping."""
        name, has_gradient = _last(model, images[:1])
        return name if has_gradient else ""

    name = cached(model, (images.shape[1:], images.dtype), answered)
    if not name:
        name, _ = _last(model, images)
    if not name:
        raise OverfocusError(
            f"no layer of {type(model).__name__} gives a grid of positions with a gradient from the logits; name one "
            "with `at`, or take a method of pixels such as integrated_gradients"
        )
    return name


def _last(model: nn.Module, images: Tensor) -> tuple[str, bool]:
    """Return the name of the layer ("" where there is none), and whether the gradient there is not zero."""
    record = _Record(ImageShape.of(images, model))
    hooks = {module: record.hook(name) for name, module in model.named_modules() if name}
    with torch.enable_grad(), hooked(hooks):
        logits = checked_logits(model, model(images.clone().requires_grad_().clone()), len(images))
        score = logits.amax(dim=1)
    return record.last(score, model) if score.requires_grad else ("", False)


class _Record:
    """The grids that a forward makes, in the order in which they are ready."""

    def __init__(self, images: ImageShape) -> None:
        self.images = images
        self.found: dict[str, tuple[Tensor, Grid]] = {}
        self.runs: dict[str, int] = {}
        self.copied = False
        """Whether a pool has copied positions: what follows shows fewer of them than it has."""

    def hook(self, name: str) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            self.runs[name] = self.runs.get(name, 0) + 1
            self.copied = self.copied or _copies(module, args, output)
            if isinstance(output, Tensor) and output.requires_grad and not self.copied:
                grid = self.images.grid(output)
                if grid is not None and grid.positions > 1:
                    self.found[name] = (output, grid)

        return keep

    def last(self, score: Tensor, model: nn.Module) -> tuple[str, bool]:
        """Search from the end, so that no backward is longer than needed."""
        names = [name for name in reversed(self.found) if self.runs[name] == 1]
        names.sort(key=lambda name: _in_attention(model, name))
        connected = ""
        for start, stop in _growing(len(names)):
            outputs = [self.found[name][0] for name in names[start:stop]]
            ones = torch.ones_like(score)
            gradients = torch.autograd.grad(score, outputs, ones, retain_graph=True, allow_unused=True)
            for name, gradient in zip(names[start:stop], gradients, strict=True):
                if gradient is None:
                    continue
                connected = connected or name
                if (self.found[name][1].shaped(gradient) != 0).any():
                    return name, True
        return connected, False


def _growing(count: int) -> list[tuple[int, int]]:
    """Cut `count` things into runs of 2, 4, 8 and so on."""
    ends = [2]
    while ends[-1] < count:
        ends.append(2 * ends[-1] + 2)
    return [(start, min(end, count)) for start, end in zip([0, *ends], ends, strict=False) if start < count]


def _copies(module: nn.Module, args: Any, output: Any) -> bool:
    """Whether `module` is an adaptive pool that gives more positions than it takes."""
    pool = isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
    return pool and isinstance(output, Tensor) and output.shape[-2:].numel() > args[0].shape[-2:].numel()


def _in_attention(model: nn.Module, name: str) -> bool:
    """Whether a layer is part of an attention."""
    above = type(model.get_submodule(name.rpartition(".")[0])).__name__.lower()
    return "attention" in above or "attn" in above
