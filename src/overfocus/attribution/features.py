"""Which layer holds the last features that lie over the image and that the answer depends on.

The last layer with positions is not always it: the patch tokens that the last block of a vision transformer gives are
read by nobody where a class token is classified, a branch of a block is a part of what the head sees, and a grid that
was made larger from a smaller one shows copies. So the rule asks for a gradient, and reads the graph from the image to
the logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.attribution.cache import cached
from overfocus.attribution.frozen_eval import checked_logits, fitting, frozen_eval, hooked, own_images
from overfocus.attribution.grid import Grid, ImageShape
from overfocus.core.errors import OverfocusError
from overfocus.models.smoke import sizes_that_work


def features_layer(model: nn.Module, images: Tensor) -> str:
    """Return the name of the last layer whose output is a grid of more than one position and to which the predicted
    logit has a gradient that is not zero everywhere.

    Found on the first of `images` [B, C, H, W], so that it does not hang on the batch; on all of them where the
    first has no gradient at all. Where none has, it is the last grid with a way to the logits. Layers that nothing
    of the image gets around come first, and with them the tokens inside a block of such tokens, which only the
    class token gets around; then others, such as a branch of a block; the parts of an attention come last, since
    the queries and keys of a position are not its features. A grid that was made from one of fewer positions that
    nothing gets around holds copies, and is none: VGG and AlexNet below their own size. Layers that run several
    times are left out. Leaves no trace. Raises OverfocusError where there is no grid on the way to the logits, with
    sizes of images that have one, found by trial.
    """
    images = own_images(images)
    with frozen_eval(model) as lent:
        return last_features(lent, images)


def stage_layers(model: nn.Module, images: Tensor, at: str, count: int) -> tuple[str, ...]:
    """Return the names of at most `count` layers whose grids grow coarser, the finest first and the layer `at` last.

    Of the layers before `at` that nothing of the image gets around, the last of each number of positions, of those with
    more positions than what follows: the ends of the stages of a network. A vision transformer has one stage. Found on
    the first of `images` [B, C, H, W]; `model` is in `frozen_eval`.
    """

    def ends() -> tuple[str, ...]:
        return _stages(model, images[:1], at)

    return cached(model, ("stages", images.shape[1:], images.dtype, at), ends)[-count:]


def _stages(model: nn.Module, images: Tensor, at: str) -> tuple[str, ...]:
    """Return the last layer of each size, the finest first, and `at`."""
    record, score, start = _recorded(model, images)
    if at not in record.found:
        return (at,)
    ways = _ways(score.grad_fn, start)
    found, names = [at], list(record.found)
    positions = record.found[at].grid.positions
    for name in record.names(ways):
        layer = record.found[name]
        before = names.index(name) < names.index(at)
        if before and ways[layer.node] and layer.grid.positions > positions and not _in_attention(model, name):
            found, positions = [name, *found], layer.grid.positions
    return tuple(found)


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
        sizes = sizes_that_work(lambda noise: _last(model, noise)[1], images)
        raise OverfocusError(
            f"no layer of {type(model).__name__} gives a grid of positions with a gradient from the logits for images "
            f"of {images.shape[2]} x {images.shape[3]} pixels; {sizes or 'name one with `at`'}, or take a method of "
            "pixels such as integrated_gradients"
        )
    return name


def _last(model: nn.Module, images: Tensor) -> tuple[str, bool]:
    """Return the name of the layer ("" where there is none), and whether the gradient there is not zero."""
    record, score, start = _recorded(model, images)
    ways = _ways(score.grad_fn, start)
    return record.last(score, ways, model) if ways else ("", False)


def _recorded(model: nn.Module, images: Tensor) -> tuple[_Record, Tensor, Any]:
    """Run `model`; return the grids that it made, the largest logit [B], and where the graph starts."""
    record = _Record(ImageShape.of(images, model))
    hooks = {module: record.hook(name) for name, module in model.named_modules() if name}
    with fitting(model, images), torch.enable_grad(), hooked(hooks):
        given = images.clone().requires_grad_().clone()
        start = given.grad_fn
        logits = checked_logits(model, model(given), len(images))
        score = logits.amax(dim=1)
    return record, score, start


@dataclass(frozen=True, eq=False)
class _Layer:
    """What a layer gave: a grid over the images."""

    output: Tensor
    grid: Grid
    node: Any
    """Of the graph, as it was when the layer ran: what comes behind may write to the output."""


class _Record:
    """The grids that a forward makes, in the order in which they are ready."""

    def __init__(self, images: ImageShape) -> None:
        self.images = images
        self.found: dict[str, _Layer] = {}
        self.runs: dict[str, int] = {}

    def hook(self, name: str) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> Any:
            self.runs[name] = self.runs.get(name, 0) + 1
            if not (isinstance(output, Tensor) and output.requires_grad):
                return None
            # What only hands on its input gets a node of its own, or it would pass for the layer that made it.
            output = output.view_as(output) if args and output is args[0] else output
            if (grid := self.images.grid(output)) is not None:
                self.found[name] = _Layer(output, grid, output.grad_fn)
            return output

        return keep

    def last(self, score: Tensor, ways: dict[Any, bool], model: nn.Module) -> tuple[str, bool]:
        """Search from the end, so that no backward is longer than needed; `ways` as `_ways` returns them."""
        whole = {name for name, layer in self.found.items() if ways.get(layer.node)}
        tokens = {self.found[name].grid for name in whole}
        whole |= {name for name, layer in self.found.items() if layer.grid.prefix and layer.grid in tokens}
        names = sorted(self.names(ways), key=lambda name: (_in_attention(model, name), name not in whole))
        connected = ""
        for start, stop in _growing(len(names)):
            outputs = [self.found[name].output for name in names[start:stop]]
            ones = torch.ones_like(score)
            gradients = torch.autograd.grad(score, outputs, ones, retain_graph=True, allow_unused=True)
            for name, gradient in zip(names[start:stop], gradients, strict=True):
                if gradient is None:
                    continue
                connected = connected or name
                if (self.found[name].grid.shaped(gradient) != 0).any():
                    return name, True
        return connected, False

    def names(self, ways: dict[Any, bool]) -> list[str]:
        """Return the layers to look at, last first: those between image and logits whose positions are no copies."""
        names, fewest = [], inf
        for name, layer in self.found.items():
            if layer.node not in ways or layer.grid.positions > fewest:
                continue
            if layer.grid.positions > 1 and self.runs[name] == 1:
                names.append(name)
            if ways[layer.node]:
                fewest = layer.grid.positions
        return names[::-1]


def _ways(end: Any, start: Any) -> dict[Any, bool]:
    """Return the nodes of a graph of autograd on the ways from `end` back to `start`, and whether all ways go through
    each.
    """
    order = _from_start(end, start)
    place = {node: number for number, node in enumerate(order)}
    whole, lowest = {}, len(order)
    for number, node in reversed(list(enumerate(order))):
        whole[node] = lowest >= number  # no edge from behind it leads past it
        lowest = min([lowest, *(place[each] for each, _ in node.next_functions if each in place)])
    return whole


def _from_start(end: Any, start: Any) -> list[Any]:
    """Return the nodes on the ways from `end` back to `start`, every one after those that it was computed from."""
    leads: dict[Any, bool] = {None: False, start: True}
    order, waiting = [start], [end]
    while waiting:
        node = waiting[-1]
        missing = [] if node in leads else [each for each, _ in node.next_functions if each not in leads]
        if missing:
            waiting.extend(missing)
            continue
        waiting.pop()
        if node not in leads:
            leads[node] = any(leads[each] for each, _ in node.next_functions)
            order += [node] if leads[node] else []
    return order if leads[end] else []


def _growing(count: int) -> list[tuple[int, int]]:
    """Cut `count` things into runs of 2, 4, 8 and so on."""
    ends = [2]
    while ends[-1] < count:
        ends.append(2 * ends[-1] + 2)
    return [(start, min(end, count)) for start, end in zip([0, *ends], ends, strict=False) if start < count]


def _in_attention(model: nn.Module, name: str) -> bool:
    """Whether a layer is part of an attention."""
    above = name.rpartition(".")[0]
    words = f"{type(model.get_submodule(above)).__name__} {above.rpartition('.')[2]}".lower()
    return "attention" in words or "attn" in words
