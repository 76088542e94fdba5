"""Transfer: a model fitted to other classes, channels and image sizes, and a lower learning rate for its encoder.

The recipe: `create_model(name, classes, weights=file)` leaves the head new where the classes differ;
`parameter_groups` then trains the head at `lr` and what lies before it at `encoder_lr_scale * lr`.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError, UnknownName

# The last part of the name of a parameter that is neither a matrix nor a kernel, whatever its dimensions.
NO_DECAY = re.compile(r"bias|scale|gamma|alpha|beta|temperature|token|pos(_|ition|$)|embed")
# First strided convolution and the pooling after it, in the families that have a form for small images.
STEMS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))
# How a top-level module that holds the classifier is usually called.
HEADS = ("fc", "classifier", "head", "heads", "last_linear")


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    encoder_lr_scale: float = 1.0,
    head_prefixes: Iterable[str] | None = None,
) -> list[dict]:
    """Return groups for an optimiser, each {"params", "lr", "weight_decay", "name"}, without frozen parameters.

    Norms, biases, scales, tokens and positional parameters have no weight decay: see `decays`. Parameters under a head
    prefix (a dotted name; by default the classifier's) learn at `lr`, all others at `encoder_lr_scale * lr`; at a
    scale of 1 the two are one group. Raises OverfocusError where a prefix names no parameter.
    """
    heads = head_names(model, head_prefixes) if encoder_lr_scale != 1 else set()
    spared = tuple(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "head" if name in heads else "encoder" if heads else "all"
        decay = weight_decay if decays(name, parameter, spared) else 0.0
        label = part if decays(name, parameter, spared) else f"{part}, no decay"
        rate = lr * (encoder_lr_scale if part == "encoder" else 1)
        group = groups.setdefault(label, {"params": [], "lr": rate, "weight_decay": decay, "name": label})
        group["params"].append(parameter)
    return list(groups.values())


def decays(name: str, parameter: Tensor, spared: Iterable[str] = ()) -> bool:
    """Return whether weight decay is for the `parameter`: matrices and kernels, but no table, token or scale that
    merely has several dimensions, such as ConvNeXt's `layer_scale` [C, 1, 1] or ViT's `pos_embedding` [1, N, D].

    spared: what the model's own `no_weight_decay()` names (timm), whole names or patterns such as `pos_embed.*`.
    """
    own = any(fnmatchcase(name, pattern) for pattern in spared)
    return parameter.ndim > 1 and not own and not NO_DECAY.search(name.rpartition(".")[2])


def head_names(model: nn.Module, prefixes: Iterable[str] | None) -> set[str]:
    """Return the names of the parameters under any of the prefixes (by default the classifier's)."""
    prefixes = (classifier_name(model),) if prefixes is None else tuple(prefixes)
    names = [name for name, _ in model.named_parameters()]
    under = {prefix: {name for name in names if f"{name}.".startswith(f"{prefix}.")} for prefix in prefixes}
    for prefix, found in under.items():
        if not found:
            known = ", ".join(name for name, _ in model.named_children())
            raise OverfocusError(f"head prefix {prefix!r}: no parameter lies there; the model's parts are: {known}")
    return set().union(*under.values())


def classifier_name(model: nn.Module) -> str:
    """Return the dotted name of the layer that gives the logits, such as 'fc', 'classifier.6' or 'head.fc'.

    It is what timm records; otherwise the last linear layer, first sought under a name that heads usually bear;
    otherwise the last convolution (SqueezeNet). Raises OverfocusError where there is none.
    """
    modules = dict(model.named_modules())
    recorded = getattr(model, "pretrained_cfg", None) or {}
    if isinstance(name := recorded.get("classifier"), str) and isinstance(modules.get(name), nn.Linear | nn.Conv2d):
        return name
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    usual = [name for name in linear if name.split(".")[0] in HEADS]
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    for found in (usual, linear, convolutions):
        if found:
            return found[-1]
    raise OverfocusError(
        f"{type(model).__name__} has no linear layer that could be its classifier; name the head yourself"
    )


def replace_head(model: nn.Module, classes: int) -> nn.Module:
    """Put a new classifier for `classes` in place of the old, on its device and in its dtype; return the same model."""
    name = classifier_name(model)
    old = model.get_submodule(name)
    if isinstance(old, nn.Conv2d):
        new = convolution_like(old, out_channels=classes)
    elif isinstance(old, nn.Linear):
        place = {"device": old.weight.device, "dtype": old.weight.dtype}
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None, **place)
    else:
        raise OverfocusError(f"{name} is a {type(old).__name__}; a new head is made for linear layers and convolutions")
    set_submodule(model, name, new)
    if hasattr(model, "num_classes"):
        model.num_classes = classes  # pyright: ignore[reportArgumentType]
    return model


def set_submodule(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where the dotted name points; its training mode follows that of the module it replaces."""
    module.train(model.get_submodule(name).training)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def first_convolution(model: nn.Module) -> str:
    """Return the dotted name of the first convolution, which usually sees the image; empty where there is none."""
    return next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), "")


def with_channels(model: nn.Module, channels: int) -> nn.Module:
    """Make a first convolution that sees three channels anew for another number, its weights drawn as wide as before.

    A model that begins otherwise is left as it is: it may well turn the image into what its first convolution sees.
    """
    name = first_convolution(model)
    old = model.get_submodule(name)
    if channels == 3 or not isinstance(old, nn.Conv2d) or old.in_channels != 3:
        return model
    new = convolution_like(old, in_channels=channels)
    with torch.no_grad():
        new.weight.copy_(torch.randn_like(new.weight) * old.weight.std())
        if new.bias is not None and old.bias is not None:
            new.bias.copy_(old.bias)
    set_submodule(model, name, new)
    return model


def use_small_stem(model: nn.Module, name: str, stem: str) -> None:
    """Put a 3x3 convolution of stride 1 in place of a model's strided one and of its max pooling."""
    if stem != "small":
        raise UnknownName(f"stem of {name}", stem, ["small"])
    modules = dict(model.named_modules())
    for convolution, pooling in STEMS:
        old = modules.get(convolution)
        if isinstance(old, nn.Conv2d) and isinstance(modules.get(pooling), nn.MaxPool2d):
            new = convolution_like(old, kernel_size=3, stride=1, padding=1)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            set_submodule(model, convolution, new)
            set_submodule(model, pooling, nn.Identity())
            return
    families = "overfocus_cnn, resnet, resnext, wide_resnet and densenet (torchvision's and timm's)"
    raise OverfocusError(f"model {name!r} has no small stem; it is there for {families}. Leave stem out")


def convolution_like(old: nn.Conv2d, **changes: Any) -> nn.Conv2d:
    """Return a new convolution with the settings of another, but for the changes."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    settings: dict[str, Any] = {name: getattr(old, name) for name in names} | changes
    place = {"device": old.weight.device, "dtype": old.weight.dtype}
    return nn.Conv2d(**settings, bias=old.bias is not None, **place)


def fit_channels(weight: Tensor, channels: int) -> Tensor:
    """Turn a convolution's weight [out, c, h, w] into [out, channels, h, w] of about the same answer, as timm does.

    One channel gets the sum; otherwise the channels repeat in turn and are scaled by c / channels.
    """
    given = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    turns = -(-channels // given)
    return weight.repeat(1, turns, 1, 1)[:, :channels] * (given / channels)
