"""One run of a classifier, with the gradient to one layer and to nothing else.

Up to the layer the forward runs without a graph. There a hook puts a leaf in place of the layer's output and switches
gradients on, so the graph is the part after the layer, and parameters get no gradient and need none. Asking for
Grad-CAM at the last features costs little more than a forward; a full backward costs about twice that again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.attribution.features import last_features, stage_layers
from overfocus.attribution.frozen_eval import checked_logits, fitting, frozen_eval, hooked, own_images
from overfocus.attribution.grid import Grid, ImageShape
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.layer_name import FEATURES, layer_name


@dataclass(frozen=True, eq=False)
class Activations:
    """The logits of a model, the output of one of its layers, and the graph between them.

    It holds the graph: let go of it, and detach what is kept of `logits`.
    """

    features: Tensor
    """[B, C, h, w] as the layer gave them, with no graph."""
    logits: Tensor
    """[B, K], with the graph from the layer on."""
    layer: str
    """The name of the layer."""
    grid: Grid
    """Where the positions stand among the layer's values."""
    _leaf: Tensor = field(repr=False)

    def gradient(self, score: Tensor) -> Tensor:
        """Return the gradient [B, C, h, w] of a `score` [B] computed from `logits`, each image's of its own features.

        May be called again. The score needs its graph: compute it with gradients on, or use `gradient_of`. Raises
        OverfocusError where it has none.
        """
        return self._back(score, torch.ones_like(score))

    def gradient_of(self, weights: Tensor) -> Tensor:
        """Return the gradient [B, C, h, w] of the logits weighed by `weights` [B, K]; works with gradients off."""
        return self._back(self.logits, weights.to(self.logits))

    def _back(self, values: Tensor, weights: Tensor) -> Tensor:
        if not values.requires_grad:
            raise OverfocusError(
                f"there is no gradient from the score to layer {self.layer!r}: either the score was computed with "
                "gradients off (use gradient_of), or the forward detaches its values after the layer"
            )
        with torch.inference_mode(False):
            (found,) = torch.autograd.grad(values, self._leaf, weights, retain_graph=True, allow_unused=True)
        if found is None:
            raise OverfocusError(
                f"the score does not depend on layer {self.layer!r}; take a layer on the way to the logits"
            )
        return self.grid.shaped(found)


def capture(model: nn.Module, images: Tensor, at: str = FEATURES) -> Activations:
    """Run `model` once on `images` [B, C, H, W] in evaluation mode and return what it takes to map them.

    `at` is the name of a submodule, or "@features" (see `features.features_layer`). Leaves no trace: modes, hooks,
    `.grad`, buffers and the global gradient mode are as before. Raises UnknownName for a layer that is not there, and
    OverfocusError for one that runs several times or not at all, or whose output is no grid.
    """
    images, at = own_images(images), layer_name(at)
    with frozen_eval(model) as lent:
        layer = last_features(lent, images) if at == FEATURES else at
        tap = _Tap(layer, ImageShape.of(images, lent))
        with fitting(lent, images), hooked({_layer(lent, layer): tap}):
            logits = checked_logits(lent, lent(images), len(images))
    if tap.leaf is None or tap.grid is None:
        raise OverfocusError(
            f"layer {layer!r} does not run in the forward of {type(lent).__name__}; take one that does"
        )
    return Activations(tap.grid.shaped(tap.leaf.detach()), logits, layer, tap.grid, tap.leaf)


@dataclass(frozen=True, eq=False)
class Stages:
    """The logits of a model, the outputs of some of its layers, and the graph from the first of them on."""

    features: tuple[Tensor, ...]
    """[B, C, h, w] of each layer, with no graph."""
    logits: Tensor
    """[B, K], with the graph."""
    layers: tuple[str, ...]
    _taps: tuple[_Tap, ...] = field(repr=False)

    def gradients_of(self, weights: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients [B, C, h, w] of the logits weighed by `weights` [B, K] to each layer, in one pass back;
        zeros where a layer has none.
        """
        kept = [tap.kept for tap in self._taps]
        with torch.inference_mode(False):
            found = torch.autograd.grad(
                self.logits, kept, weights.to(self.logits), retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return tuple(tap.shaped(each) for tap, each in zip(self._taps, found, strict=True))


def capture_stages(model: nn.Module, images: Tensor, count: int, at: str = FEATURES) -> Stages:
    """Run `model` once on `images` [B, C, H, W] as `capture` does, and keep at most `count` layers: `at` and the ends
    of the stages before it (see `features.stage_layers`), the finest first.
    """
    images, at = own_images(images), layer_name(at)
    with frozen_eval(model) as lent:
        last = last_features(lent, images) if at == FEATURES else at
        _layer(lent, last)
        layers = stage_layers(lent, images, last, count)
        shape = ImageShape.of(images, lent)
        taps = {_layer(lent, name): _Tap(name, shape) for name in layers}
        with fitting(lent, images), hooked(taps):  # type: ignore[arg-type]
            logits = checked_logits(lent, lent(images), len(images))
    if lost := [tap.layer for tap in taps.values() if tap.leaf is None]:
        raise OverfocusError(f"layer {lost[0]!r} does not run in the forward of {type(lent).__name__}")
    every = tuple(taps.values())
    return Stages(tuple(tap.shaped(tap.kept.detach()) for tap in every), logits, layers, every)


class _Tap:
    """The hook that starts the graph, or keeps what a layer gave on a graph that was started before."""

    def __init__(self, layer: str, images: ImageShape) -> None:
        self.layer, self.images = layer, images
        self.leaf: Tensor | None = None
        self.grid: Grid | None = None

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Tensor:
        if self.leaf is not None:
            raise OverfocusError(f"layer {self.layer!r} runs several times in one forward; take one that runs once")
        self.grid = self._grid(output)
        # Copied twice: layers before may still write to the output, and layers after to their input.
        begun = torch.is_grad_enabled() and output.requires_grad
        self.leaf = leaf = output.clone() if begun else output.detach().clone().requires_grad_()
        torch.set_grad_enabled(True)
        return leaf.clone()

    @property
    def kept(self) -> Tensor:
        """What the layer gave."""
        assert self.leaf is not None
        return self.leaf

    def shaped(self, values: Tensor) -> Tensor:
        """Return the layer's `values` as [B, C, h, w]."""
        assert self.grid is not None
        return self.grid.shaped(values)

    def _grid(self, output: Any) -> Grid:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise OverfocusError(
                f"layer {self.layer!r} gives a {type(output).__name__}, no tensor of features; take a layer inside it"
            )
        grid = self.images.grid(output)
        if grid is None:
            raise OverfocusError(
                f"layer {self.layer!r} gives {tuple(output.shape)}, which is no grid over {self.images.count} images "
                f"of {self.images.size[0]} x {self.images.size[1]}; take a layer that gives [B, C, h, w], [B, h, w, C] "
                "or tokens"
            )
        return grid


def _layer(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name or " ")
    except AttributeError:
        raise UnknownName("layer", name, [known for known, _ in model.named_modules() if known]) from None
