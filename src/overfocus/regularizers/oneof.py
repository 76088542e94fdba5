"""OneOf: one of several methods, drawn anew for every batch or every image.

Source: what users of Mixup and CutMix do (torchvision's RandomChoice of both, timm's `mixup_switch_prob`); with one mix
at several layers it is Manifold Mixup (Verma et al., 1806.05236): oneof(mixup(at='stages.0'), mixup(at='stages.1')).

Formula: member m acts with probability weights[m] / sum of weights; the others do nothing.

Settings
    members  the methods, in the spec without a name: oneof(mixup, cutmix(prob=1.0), plain, weights=(2, 2, 1)); left
             out, those first two
    weights  one number of at least 0 for each member, of any sum; left out, all are equally likely
    per      `batch`: one draw for all images; `image`: every image has its own

One draw for the batch is the default because it is what was published and measured: a batch norm then sees one kind of
image at a time, and training on a mix of kinds in one batch is another method. The draw is the same at the images and
at every layer, so that one member of a batch (or image) acts however many places the members have.

All members run, and the rows are selected on the device: nobody waits to learn which one it is. What was measured is
NaN in the rows where a member was not chosen, and its rate 0.

When it does not help: where one member is the better one; the choice only averages their effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.head_probe import HeadProbe
from overfocus.core.key import Key
from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.mixup import Mixup
from overfocus.regularizers.regularizer import Chain, Group, Regularizer, SettingError, check_choice


@dataclass(frozen=True)
class OneOf(Group):
    """Let one of several methods act."""

    members: tuple[Regularizer, ...] = (Mixup(), CutMix(prob=1.0))
    weights: tuple[float, ...] = ()
    per: Literal["batch", "image"] = "batch"

    def __post_init__(self) -> None:
        check_choice(self, "per", ("batch", "image"))
        self._check_members()
        self._check_weights()

    def on_batch(self, batch: Batch, key: Key) -> Batch:
        """Let the chosen member act on the images."""
        return self._act(batch, key, lambda member, own: member.on_batch(batch, own))

    def on_features(self, features: Batch, probe: HeadProbe, key: Key) -> Batch:
        """Let the chosen member act on the features."""
        return self._act(features, key, lambda member, own: member.on_features(features, probe, own))

    def acting(self, places: frozenset[str]) -> Regularizer:
        """Replace the members that act elsewhere by nothing: the choice, and so the draws, stay."""
        if not places & self.places:
            return Chain()
        return replace(self, members=tuple(member.acting(places) for member in self.members))

    def spec(self, full: bool = False) -> str:
        """Return the spec: the members' specs, then the settings that are not the default, or all of them."""
        settings = [f"weights={self.weights!r}"] if self.weights or full else []
        settings += [f"per={self.per!r}"] if self.per != "batch" or full else []
        return f"oneof({', '.join([*(member.spec(full) for member in self.members), *settings])})"

    def _act(self, batch: Batch, key: Key, act: Callable[[Regularizer, Key], Batch]) -> Batch:
        results = [act(member, key.fold_in(number)) for number, member in enumerate(self.members)]
        return choose(batch, results, self._choice(len(batch) // batch.views, key).repeat(batch.views))

    def _choice(self, images: int, key: Key) -> Tensor:
        """Draw the number of a member for each of `images`: [B] int64."""
        choice = key.fold_in("choice")
        if self.per == "image":
            uniform = choice.uniform(images)[:, 0]
        else:  # every process draws the one number of the global batch
            uniform = replace(choice, first_row=0).uniform(1)[:, 0].expand(images)
        bounds = list(accumulate(self.weights or [1.0] * len(self.members)))
        chosen = torch.zeros_like(uniform, dtype=torch.int64)
        for bound in bounds[:-1]:
            chosen = chosen + (uniform >= bound / bounds[-1])
        return chosen

    def _check_members(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise SettingError("oneof: it has no members; write for example oneof(mixup, cutmix)")
        for member in self.members:
            if _adds_rows(member):
                raise SettingError(
                    f"oneof: {member} makes two versions of every image, and cannot stand beside members that "
                    f"make one; use the chain, oneof(...) + {member}"
                )

    def _check_weights(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        if self.weights and len(self.weights) != len(self.members):
            count = len(self.members)
            raise SettingError(f"oneof: weights={self.weights!r} must be one number for each of the {count} members")
        if self.weights and not (min(self.weights) >= 0 and 0 < sum(self.weights) < float("inf")):
            raise SettingError(f"oneof: weights={self.weights!r} must be at least 0, and one of them above")


def choose(batch: Batch, results: Sequence[Batch], chosen: Tensor) -> Batch:
    """Return row by row what `results[chosen]` holds, `chosen` [B]; `batch` is what all of them were made from."""
    values, targets, notes = results[0].values, results[0].targets, {}
    for number, result in enumerate(results):
        here = chosen == number
        if result.values is not values:
            values = torch.where(here.reshape(-1, *[1] * (values.ndim - 1)), result.values, values)
        if result.targets is not targets:
            targets = result.targets.where(here, targets)
        for name in [name for name in result.measured if name not in batch.measured]:
            otherwise = notes.get(name, 0.0 if name.endswith("_rate") else torch.nan)
            notes[name] = torch.where(here, result.measured[name], otherwise)
    return replace(batch, values=values, targets=targets).noting(**notes)


def _adds_rows(method: Regularizer) -> bool:
    """Whether `method`, or a part of it, makes more rows than it was given."""
    members = method.members if isinstance(method, Group) else ()
    return getattr(method, "views", "") == "both" or any(_adds_rows(member) for member in members)
