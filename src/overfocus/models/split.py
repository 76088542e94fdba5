"""Cut a model in two or more at named layers, without changing it.

The model's forward is traced once with `torch.fx`; only the ancestors of the cut are traced through, every other
submodule is called as it is. The pieces are plain functions of the model, `piece(model, x)`, so there is nothing to
register twice: the parameters stay the model's, and the same pieces run a copy of it, such as an EMA teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NoReturn

from torch import Tensor, fx, nn

from overfocus.core.errors import OverfocusError, nearest
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.core.modes import in_mode

Piece = Callable[[nn.Module, Tensor], Tensor]

_POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.MaxPool2d)
_POOL_FUNCTIONS = ("adaptive_avg_pool2d", "avg_pool2d", "adaptive_max_pool2d", "max_pool2d", "mean", "amax")


class SplitError(OverfocusError):
    """A model that cannot be cut there; the text says why and where it can."""


@dataclass(frozen=True)
class SplitModel:
    """A model as a row of pieces: `pieces[0]` ends at `layers[0]`, and so on; the last one is the head."""

    layers: tuple[str, ...]
    training: tuple[Piece, ...]
    evaluation: tuple[Piece, ...]

    def pieces(self, model: nn.Module) -> tuple[Piece, ...]:
        """Return the pieces for the mode of `model`; they differ only where its own forward depends on it."""
        return self.training if model.training else self.evaluation

    def encode(self, model: nn.Module, images: Tensor) -> Tensor:
        """Run `model` up to the first cut."""
        return self.pieces(model)[0](model, images)

    def classify(self, model: nn.Module, features: Tensor) -> Tensor:
        """Run `model` from the first cut to its logits."""
        for piece in self.pieces(model)[1:]:
            features = piece(model, features)
        return features


def split(model: nn.Module, at: str | Sequence[str] = FEATURES) -> SplitModel:
    """Cut `model` at the outputs of the layers `at`, in the order in which they run.

    `at` names submodules (`"layer4"`, `"features.12"`); `"@features"` is the input of the last pooling.
    A model with methods `encode(images)` and `classify(features)` is cut between them and need not be traceable. Raises
    SplitError, with the nearest names, for a layer that is not there, and for a cut that a shortcut crosses.
    """
    names = tuple(layer_name(each) for each in ((at,) if isinstance(at, str) else at))
    if has_protocol(model):
        return _split_by_protocol(model, names)
    trained, order = _cut(model, names, training=True)
    evaluated, _ = _cut(model, names, training=False)
    return SplitModel(order, trained, evaluated)


def has_protocol(model: nn.Module) -> bool:
    """Whether the model brings its own cut: `encode(images) -> features` and `classify(features) -> logits`."""
    return callable(getattr(model, "encode", None)) and callable(getattr(model, "classify", None))


def _split_by_protocol(model: nn.Module, names: tuple[str, ...]) -> SplitModel:
    if names != (FEATURES,):
        raise SplitError(
            f"{type(model).__name__} has its own cut, between encode() and classify(), and cannot be cut at "
            f"{list(names)} as well; leave `at` out"
        )
    pieces: tuple[Piece, ...] = (_encode, _classify)
    return SplitModel(names, pieces, pieces)


def _encode(model: Any, images: Tensor) -> Tensor:
    return model.encode(images)


def _classify(model: Any, features: Tensor) -> Tensor:
    return model.classify(features)


class _Tracer(fx.Tracer):
    """Traces through the ancestors of the cuts and takes every other module as it is."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self.opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened


def _cut(model: nn.Module, names: tuple[str, ...], training: bool) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """Trace `model` in one mode and compile its pieces; return them with the layers in running order."""
    graph = _trace(model, {ancestor for name in names for ancestor in _ancestors_of(name)}, training)
    while FEATURES in names and not _pooled(graph, model) and (inner := _last_module(graph, model)):
        try:
            graph = _trace(model, inner, training)
        except SplitError:  # what is inside cannot be traced, so no pooling can be found there
            break
    nodes = {name: _node_of(name, graph, model) for name in names}
    # Two names may be one value, such as `features` and the last layer: the piece between them does nothing.
    order = [name for node in graph.nodes for name in nodes if nodes[name] is node]
    start, pieces = next(n for n in graph.nodes if n.op == "placeholder"), []
    for end in [*(nodes[name] for name in order), next(n for n in graph.nodes if n.op == "output").args[0]]:
        pieces.append(_piece(graph, model, start, end))
        start = end
    return tuple(pieces), tuple(order)


def _ancestors_of(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _trace(model: nn.Module, opened: set[str], training: bool) -> fx.Graph:
    """Trace the root's forward as it runs in the mode `training`; the modes of the modules are as before afterwards."""
    modules = [module for name, module in model.named_modules() if name in opened or not name]
    try:
        with in_mode(modules, training):
            graph = _Tracer(opened).trace(model)
    except Exception as error:
        raise SplitError(
            f"the forward of {type(model).__name__} cannot be traced ({type(error).__name__}: {error}); give the model "
            "two methods, encode(images) and classify(features), and leave `at` out"
        ) from error
    graph.opened = opened  # type: ignore[attr-defined]
    return graph


def _last_module(graph: fx.Graph, model: nn.Module) -> set[str]:
    """Return what to open to find a pooling inside the last module that has parts; empty where there is none."""
    for node in reversed(list(graph.nodes)):
        if node.op == "call_module" and next(model.get_submodule(str(node.target)).children(), None) is not None:
            return {*graph.opened, str(node.target)}  # type: ignore[attr-defined]
    return set()


def _node_of(name: str, graph: fx.Graph, model: nn.Module) -> fx.Node:
    """Find the node that holds the output of layer `name`."""
    if name == FEATURES and (pooled := _pooled(graph, model)):
        return pooled
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) == 1:
        return calls[0]
    if len(calls) > 1:
        raise SplitError(f"layer {name!r} runs {len(calls)} times in one forward; cut at a layer that runs once")
    if name == FEATURES:
        raise SplitError(
            f"no pooling was found at the top of {type(model).__name__}, so its last features are not plain; "
            f"name the layer with `at`, such as: {', '.join(name for name, _ in model.named_children())}"
        )
    layers = [layer for layer, _ in model.named_modules() if layer]
    raise SplitError(f"{type(model).__name__} has no layer {name!r}; {nearest(name, layers)}")


def _pooled(graph: fx.Graph, model: nn.Module) -> fx.Node | None:
    """Return what feeds the last pooling over positions."""
    for node in reversed(list(graph.nodes)):
        if _is_pooling(node, model) and node.args and isinstance(node.args[0], fx.Node):
            return node.args[0]
    return None


def _is_pooling(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        return isinstance(module, _POOLS) or "pool" in type(module).__name__.lower()
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _POOL_FUNCTIONS


def _piece(graph: fx.Graph, model: nn.Module, start: fx.Node, end: fx.Node) -> Piece:
    """Compile the part of `graph` from the value `start` to the value `end` to a function of (model, value)."""
    piece = fx.Graph()
    copies = {start: piece.placeholder("value")}
    needed = _ancestors(end, stop=start)
    for node in graph.nodes:
        if node not in needed:
            continue
        if node.op == "placeholder":
            copies[node] = node.args[0] if node.args else _refuse(start, end, graph)
            continue
        copies[node] = piece.node_copy(node, lambda argument: copies[argument])
    piece.output(copies[end])
    return type(fx.GraphModule(model, piece)).forward  # type: ignore[return-value]


def _ancestors(end: fx.Node, stop: fx.Node) -> set[fx.Node]:
    """Collect the nodes that `end` needs, itself included, without going past `stop`."""
    found, waiting = set(), [end]
    while waiting:
        node = waiting.pop()
        if node is stop or node in found:
            continue
        found.add(node)
        waiting.extend(node.all_input_nodes)
    return found


def _refuse(start: fx.Node, end: fx.Node, graph: fx.Graph) -> NoReturn:
    """Say which value goes round the cut `start` and where it comes back in."""
    before = {*takewhile(lambda node: node is not start, graph.nodes)}
    needed = _ancestors(end, stop=start)
    for other in graph.nodes:
        across = [n for n in other.all_input_nodes if n in before and n.op != "get_attr"]
        if other in needed and other not in before and across:
            raise SplitError(
                f"the cut at {start.name!r} is crossed by a shortcut: {across[0].name!r} feeds {other.name!r} "
                "after it, so the features are not all that the head sees; cut at the end of the block, after the sum"
            )
    raise SplitError(f"nothing after {start.name!r} leads to {end.name!r}; cut at a layer that the logits depend on")
