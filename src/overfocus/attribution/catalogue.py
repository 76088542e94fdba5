"""Methods of attribution by name. The folder is the registry: a file that holds one is one."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.attribution import methods as folder
from overfocus.attribution.attribution import Attribution
from overfocus.attribution.capture import FEATURES
from overfocus.attribution.target import Target
from overfocus.core.errors import OverfocusError, UnknownName, nearest
from overfocus.core.registry import classes_in


def methods() -> tuple[str, ...]:
    """Return the names of all methods."""
    return tuple(_kinds())


def method(name: str, **settings: Any) -> Attribution:
    """Make the method `name`; UnknownName, with the nearest, where there is none, OverfocusError for a setting."""
    kind = _kind(name)
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            hint = nearest(setting, known) if known else "it has none"
            raise OverfocusError(f"{name} has no setting {setting!r}; {hint}")
    return kind(**settings)


def card(name: str) -> str:
    """Return the card of a method: what it does, source, formula, settings, where it misleads."""
    return (import_module(_kind(name).__module__).__doc__ or "").strip()


def attribute(
    model: nn.Module,
    images: Tensor,
    method: str | Attribution = "gradcam",
    *,
    target: Target = "predicted",
    labels: Tensor | None = None,
    at: str = FEATURES,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Return maps [B, h, w] float32 of where the evidence for `target` lies in `images` [B, C, H, W].

    At the size of the layer `at`, or of the images for methods of pixels; `size` (H, W) upsamples. In the method's own
    scale; higher is more evidence. See `Attribution`, `target.target_weights` and `capture.capture`.
    """
    chosen = method if isinstance(method, Attribution) else _kind(method)()
    maps = chosen(model, images, target, labels, at)
    return maps if size is None else upsampled(maps, size)


def upsampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `maps` [B, h, w] at `size` (H, W), bilinearly. An upsampled map looks wider than the network does: measure
    spread on the map as it is.
    """
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _kind(name: str) -> type[Attribution]:
    if name not in _kinds():
        raise UnknownName("method of attribution", name, methods())
    return _kinds()[name]


@cache
def _kinds() -> dict[str, type[Attribution]]:
    return classes_in(folder, Attribution)  # type: ignore[type-abstract]
