"""The stages of a network, and learning rates that fall from one to the next towards the image."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from overfocus.models.surgery import classifier_name, decays
from overfocus.models.transformers_model import Logits

FEW = 2
"""A network of so few parts holds its stages in one of them, as torchvision's EfficientNet does in `features`."""


def stages(model: nn.Module) -> dict[str, int]:
    """Return parameter name -> number of its stage, 0 next to the image; the classifier's is the highest.

    timm's networks say it themselves (`group_matcher`). Of those of transformers the parts of their longest list are
    the stages, of others their parts, in the order of their definition; a lone norm belongs to the part before it.
    """
    head = f"{classifier_name(model)}."
    row = _row(model) if isinstance(model, Logits) else ""
    if hasattr(model, "group_matcher"):
        groups = _of_timm(model)
    else:
        groups = dict(_of_row(model, row) if row else _of_parts(model, head))
    body = {name: groups[name] for name, _ in model.named_parameters() if not name.startswith(head)}
    order = {group: number for number, group in enumerate(sorted({*body.values()}))}
    return {name: order[body[name]] if name in body else len(order) for name, _ in model.named_parameters()}


def lr_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Return parameter name -> its learning rate as a share of the classifier's: `decay` for each stage below it
    (BEiT, 2106.08254, by stages instead of blocks).
    """
    numbers = stages(model)
    head = max(numbers.values())
    return {name: decay ** (head - number) for name, number in numbers.items()}


def staged_groups(model: nn.Module, *, lr: float, weight_decay: float, layer_decay: float) -> list[dict]:
    """Return groups for an optimiser, each {"params", "lr", "weight_decay", "name"}, without frozen parameters; rates
    as `lr_scales` says, no weight decay where `decays` says so.
    """
    spared = tuple(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    numbers, scales = stages(model), lr_scales(model, layer_decay)
    groups: dict[str, dict] = {}
    # The classifier's first: its rate is the peak that is reported.
    for name, parameter in sorted(model.named_parameters(), key=lambda each: -numbers[each[0]]):
        if not parameter.requires_grad:
            continue
        decayed = decays(name, parameter, spared)
        label = f"stage {numbers[name]}" + ("" if decayed else ", no decay")
        new = {"params": [], "lr": lr * scales[name], "weight_decay": weight_decay if decayed else 0.0, "name": label}
        groups.setdefault(label, new)["params"].append(parameter)
    return list(groups.values())


def _of_timm(model: nn.Module) -> dict[str, float]:
    from timm.models import group_parameters

    return group_parameters(model, model.group_matcher(coarse=True), reverse=True)  # type: ignore[operator]


def _of_parts(model: nn.Module, head: str) -> Iterator[tuple[str, int]]:
    prefix, part = "", model
    while len(parts := _parts(part, prefix, head)) <= FEW and parts:
        prefix, part = max(parts, key=lambda each: sum(1 for _ in each[1].modules()))
        if next(part.children(), None) is None:
            break
        prefix = f"{prefix}."
    opened = [name for name, _ in model.named_parameters()]
    number, current = 0, ""
    for name in opened:
        own = name[len(prefix) :].split(".")[0] if name.startswith(prefix) else ""
        unit = f"{prefix}{own}" if own else name.split(".")[0]
        if unit != current and current and not _joins(model, unit):
            number += 1
        current = unit
        yield name, number


def _of_row(model: nn.Module, row: str) -> Iterator[tuple[str, int]]:
    """Number the parts of a list; what comes before it is the first stage, what comes after it joins the last."""
    number = 0
    for name, _ in model.named_parameters():
        number = 1 + int(name.removeprefix(row).partition(".")[0]) if name.startswith(row) else number
        yield name, number


def _row(model: nn.Module) -> str:
    """Return the prefix of the outermost list that holds most parameters, the layers or stages of a network of
    transformers; "" where there is none.
    """
    half = sum(each.numel() for each in model.parameters()) / 2
    lists = ((name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList))
    return next((f"{name}." for name, part in lists if sum(each.numel() for each in part.parameters()) >= half), "")


def _parts(part: nn.Module, prefix: str, head: str) -> list[tuple[str, nn.Module]]:
    """Return the parts with parameters that are not the classifier alone, by dotted name."""
    return [
        (f"{prefix}{name}", child)
        for name, child in part.named_children()
        if any(not f"{prefix}{name}.{each}".startswith(head) for each, _ in child.named_parameters())
    ]


def _joins(model: nn.Module, name: str) -> bool:
    """Whether a part is a lone norm, or a parameter of the network itself."""
    try:
        part = model.get_submodule(name)
    except AttributeError:
        return True
    return next(part.children(), None) is None and not isinstance(part, nn.Linear | nn.Conv2d)
