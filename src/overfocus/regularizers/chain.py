"""Several methods, one after the other. The empty chain is plain training."""

from __future__ import annotations

from dataclasses import dataclass

from overfocus.core.batch import Batch
from overfocus.core.head_probe import HeadProbe
from overfocus.core.key import Key
from overfocus.regularizers.regularizer import Group, Regularizer


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
