"""What every method is: a frozen value with two seams, its settings as fields, and a spec that reads them back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError, nearest
from overfocus.core.head_probe import HeadProbe
from overfocus.core.key import Key
from overfocus.core.layer_name import FEATURES as CUT

IMAGE = "image"
FEATURES = "features"
"""The objective's own cut; `@features`, as the cut is spelled everywhere else, is the same. Never a module."""


class SettingError(OverfocusError, ValueError):
    """A setting out of its range; the text names method, setting, value and range."""


@dataclass(frozen=True)
class Regularizer:
    """A method that changes the batch, the features, or neither; it is only ever called in training.

    Both seams take a value and return one, never write to it, and draw from `key` alone.
    """

    renamed = MappingProxyType[str, str]({})
    """Old name of a setting -> its name; see `core.deprecation.renamed_fields`."""

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Act on images [B, C, H, W] and targets."""
        return batch

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Act on features [B, ...] and targets; `probe` answers what the head makes of them."""
        return features

    @property
    def places(self) -> frozenset[str]:
        """Where the method acts: `image`, `features` (the objective's own cut), or layers by name."""
        place = str(getattr(self, "at", IMAGE))
        return frozenset({FEATURES if place == CUT else place})

    @property
    def teachers(self) -> frozenset[str]:
        """Whose attribution the method asks for: a subset of {self, ema}."""
        return frozenset({str(getattr(self, "teacher", "self"))})

    @property
    def scheduled(self) -> bool:
        """Whether the method needs to know how much of training is done."""
        return getattr(self, "schedule", "constant") == "linear"

    @property
    def drops_positions(self) -> bool:
        """Whether the method drops whole positions of a map, and so needs several."""
        return False

    @property
    def fillings(self) -> frozenset[str]:
        """What the method shows in place of a part of an image, by the names of `diagnosis.fillings`: a network that
        is trained with it gets used to that.
        """
        return frozenset()

    @property
    def multi_label(self) -> bool:
        """Whether the method can only be used where an image has several labels."""
        return False

    def acting(self, places: frozenset[str]) -> Regularizer:
        """Return what this method does at any of `places`: itself, or nothing."""
        return self if places & self.places else Chain()

    def __add__(self, other: Regularizer) -> Regularizer:
        """Chain two methods: this one first."""
        return Chain((self,)) + other

    def __str__(self) -> str:
        """Return the spec: the name and the settings that are not the default, as `parse` reads it."""
        return self.spec()

    def spec(self, full: bool = False) -> str:
        """Return the spec; `full` gives every setting, those left at their default too."""
        settings = [
            f"{f.name}={value!r}" for f in fields(self) if (value := getattr(self, f.name)) != _default(f) or full
        ]
        name = type(self).__name__.lower()
        return f"{name}({', '.join(settings)})" if settings else name


class Transform(Regularizer):
    """A method that does the same to images and to features: to what there is at its place `at`."""

    at: str
    filling: ClassVar[str] = ""
    """What it shows in place of a part of an image; "" for nothing that has a name in `diagnosis.fillings`."""

    @property
    def fillings(self) -> frozenset[str]:
        """Its filling, if it acts on images."""
        return frozenset({self.filling} if self.filling and self.at == IMAGE else ())

    def act(self, batch: Batch, key: Key) -> Batch:
        """Act on images [B, C, H, W] or features [B, ...], and on targets."""
        raise NotImplementedError

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Act on images if `at` is `image`."""
        return self.act(batch, key) if self.at == IMAGE else batch

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Act on features if `at` is not `image`."""
        return self.act(features, key) if self.at != IMAGE else features


@dataclass(frozen=True)
class Group(Regularizer):
    """A method made of methods: it acts where they act, and asks for what they ask for."""

    members: tuple[Regularizer, ...] = ()

    @property
    def places(self) -> frozenset[str]:
        """Every place where a member acts."""
        return frozenset().union(*(member.places for member in self.members))

    @property
    def teachers(self) -> frozenset[str]:
        """Every attribution that a member asks for."""
        return frozenset().union(*(member.teachers for member in self.members))

    @property
    def scheduled(self) -> bool:
        """Whether a member is."""
        return any(member.scheduled for member in self.members)

    @property
    def drops_positions(self) -> bool:
        """Whether a member does."""
        return any(member.drops_positions for member in self.members)

    @property
    def fillings(self) -> frozenset[str]:
        """What any member shows."""
        return frozenset().union(*(member.fillings for member in self.members))

    @property
    def multi_label(self) -> bool:
        """Whether a member needs several labels of an image."""
        return any(member.multi_label for member in self.members)


@dataclass(frozen=True)
class Chain(Group):
    """Methods that act in order, each with its own draws. Chains of chains are flat."""

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Let every member act on the batch that the one before it returned."""
        for number, member in enumerate(self.members):
            batch = member.on_batch(batch, key.fold_in(number))
        return batch

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Let every member act on the features that the one before it returned."""
        for number, member in enumerate(self.members):
            features = member.on_features(features, probe, key.fold_in(number))
        return features

    def acting(self, places: frozenset[str]) -> Regularizer:
        """Return the chain with the members that act elsewhere replaced by nothing: the numbers, and so the draws,
        stay.
        """
        return Chain(tuple(member.acting(places) for member in self.members))

    def __add__(self, other: Regularizer) -> Chain:
        """Append a method, or the members of a chain."""
        return Chain((*self.members, *(other.members if isinstance(other, Chain) else (other,))))

    def spec(self, full: bool = False) -> str:
        """Return the members' specs joined by +; `plain` for the empty chain."""
        return " + ".join(member.spec(full) for member in self.members) or "plain"


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def applies(key: Key, uniform: Tensor, prob: float | Tensor, per: str) -> Tensor:
    """Decide which rows a method acts on: [B] bool.

    Per image, every one has its own coin, `uniform` [B]. Per batch, `key` makes the coin of row 0 of the global batch,
    the same in every process.
    """
    if per == "batch":
        uniform = replace(key, first_row=0).uniform(1)[:, 0].expand(uniform.shape)
    return uniform < prob


def where_applied(applied: Tensor, value: Tensor) -> Tensor:
    """Return `value` [B] in the rows where the method acted, NaN elsewhere, so that a mean can leave those out."""
    return torch.where(applied, value.float(), torch.nan)


def map_size(method: Regularizer, values: Tensor) -> tuple[int, int]:
    """Return (H, W) of the maps [B, C, H, W] that `method` is to act on; SettingError where the values are no maps."""
    if values.ndim != 4:
        raise SettingError(
            f"{method} acts on maps [B, C, h, w], but the values there have shape {tuple(values.shape)}; "
            "choose another layer with `at`"
        )
    return values.shape[-2], values.shape[-1]


def range_of(method: Regularizer, name: str) -> tuple[float, float]:
    """Return the setting `name`, a number or a range (smallest, largest), as a range; SettingError if it is neither."""
    value = getattr(method, name)
    ends = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(ends) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise SettingError(f"{_title(method)}: {name}={value!r} must be a number, or a range (smallest, largest)")
    return ends


def check_choice(method: Regularizer, name: str, allowed: tuple[str, ...]) -> None:
    """Raise SettingError unless the setting `name` is one of `allowed`."""
    value = getattr(method, name)
    if value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else f"there are: {', '.join(allowed)}"
        raise SettingError(f"{_title(method)}: {name}={value!r} is not a choice; {hint}")


def check_range(method: Regularizer, name: str, low: float, high: float, *, above: bool = False) -> None:
    """Raise SettingError unless the number `name` lies in [low, high], or (low, high] with `above`."""
    value = getattr(method, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (low < value <= high if above else low <= value <= high):
        raise SettingError(
            f"{_title(method)}: {name}={value!r} must be a number in {'(' if above else '['}{low}, {high}]"
        )


def _title(method: Regularizer) -> str:
    return type(method).__name__.lower()
