"""The nominal values of a method, to compare with the measured ones."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from math import exp, lgamma
from typing import Any

from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.cutout import Cutout
from overfocus.regularizers.mixup import Mixup
from overfocus.regularizers.oneof import OneOf
from overfocus.regularizers.regularizer import IMAGE, Group, Regularizer, range_of
from overfocus.regularizers.sgdrop import SGDrop


def expected(method: Regularizer, image_size: tuple[int, int]) -> dict[str, float]:
    """Return measured quantity -> nominal value, where there is one, on images of `image_size` (H, W).

    `prob` is the nominal rate, `drop` (the middle of a range) the nominal dropped share, both as at the end
    of training. Where several methods of a kind disagree there is none.
    """
    found: dict[str, set[float]] = defaultdict(set)
    for leaf, chance in _leaves(method, 1.0):
        kind = type(leaf).__name__.lower()
        for what, value in _nominal(leaf, image_size).items():
            found[f"{kind}_{what}"].add(value * chance if what == "rate" else value)
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def base(name: str) -> str:
    """Return the name of a measured quantity without the number of a second one of its kind."""
    return re.sub(r"_\d+$", "", name)


def _leaves(method: Regularizer, chance: float) -> Iterator[tuple[Regularizer, float]]:
    """Yield the methods that a group is made of, each with its probability of being chosen."""
    if not isinstance(method, Group):
        yield method, chance
        return
    weights = [1.0] * len(method.members)
    if isinstance(method, OneOf):
        weights = [weight / sum(method.weights or weights) for weight in method.weights or weights]
    for member, weight in zip(method.members, weights, strict=True):
        yield from _leaves(member, chance * weight)


def _nominal(leaf: Regularizer, image_size: tuple[int, int]) -> dict[str, float]:
    rate = getattr(leaf, "prob", None)
    nominal = {
        "rate": rate,
        "dropped": _dropped(leaf),
        "kept": _kept(leaf, image_size),
        "hidden": _hidden(leaf, image_size),
    }
    return {what: float(value) for what, value in nominal.items() if value is not None}


def _dropped(leaf: Any) -> float | None:
    if not isinstance(leaf, SGDrop):
        return getattr(leaf, "drop", None)
    return sum(range_of(leaf, "drop")) / 2 * leaf.unit_prob


def _kept(leaf: Any, image_size: tuple[int, int]) -> float | None:
    """Return the expected share of an image's own: lambda of Mixup, and of CutMix after clipping."""
    if isinstance(leaf, Mixup):
        return 0.5
    if not isinstance(leaf, CutMix) or leaf.centre != "uniform" or (leaf.size >= 1 and leaf.at != IMAGE):
        return None
    if leaf.size:
        height, width = image_size if leaf.size >= 1 else (1, 1)
        return 1 - _clipped(leaf.size / height) * _clipped(leaf.size / width)
    # A side s = sqrt(u), u ~ Beta(alpha, alpha), is clipped to s - s^2 / 4 on average;
    # squared, that is u - u^1.5 / 2 + u^2 / 16.
    return 1 - (_moment(leaf.alpha, 1) - _moment(leaf.alpha, 1.5) / 2 + _moment(leaf.alpha, 2) / 16)


def _clipped(side: float) -> float:
    """Return the mean length inside [0, 1] of an interval of length `side` around a uniform point of it."""
    return side - side**2 / 4 if side <= 2 else 1.0


def _moment(alpha: float, power: float) -> float:
    """Return the mean of u^power for u ~ Beta(alpha, alpha)."""
    return exp(lgamma(alpha + power) + lgamma(2 * alpha) - lgamma(alpha) - lgamma(2 * alpha + power))


def _hidden(leaf: Any, image_size: tuple[int, int]) -> float | None:
    """Return the share that Cutout's squares would cover unclipped."""
    if not isinstance(leaf, Cutout) or leaf.at != IMAGE:
        return None
    height, width = image_size
    pair = leaf.size if isinstance(leaf.size, tuple) else (leaf.size, leaf.size)
    low, high = (int(side if side > 1 or side == int(side) else side * min(image_size)) for side in pair)
    areas = [min(side, height) * min(side, width) / (height * width) for side in range(low, high + 1)]
    return 1 - (1 - sum(areas) / len(areas)) ** leaf.holes
