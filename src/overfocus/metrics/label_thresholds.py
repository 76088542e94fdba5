"""From which probability on a picture is given each of several labels, as a run chose it on held-out pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.label_scores import HALF

ROUNDING = 1e-5
"""A threshold is the probability of a held-out picture, which another batch or an export computes with other sums."""


@dataclass(frozen=True)
class LabelThresholds:
    """One threshold for each of K labels."""

    values: tuple[float, ...]
    """Probabilities in [0, 1]."""
    why: str
    """Where they come from, in a sentence."""

    def given(self, probabilities: Tensor) -> Tensor:
        """Return which labels [B, K] bool pictures with these `probabilities` [B, K] are given."""
        return probabilities >= torch.tensor(self.values, dtype=probabilities.dtype) - ROUNDING

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"thresholds": list(self.values), "why": self.why}

    @staticmethod
    def read(kept: Mapping[str, Any] | None, count: int) -> LabelThresholds:
        """Return what a run or an export keeps of `count` labels; 0.5 of each where it keeps nothing.

        Raises OverfocusError for anything else.
        """
        if not kept:
            return LabelThresholds((HALF,) * count, "Thresholds are 0.5: the model keeps none from held-out pictures.")
        try:
            found = LabelThresholds(tuple(map(float, kept["thresholds"])), str(kept["why"]))
        except (KeyError, TypeError, ValueError) as error:
            raise OverfocusError(f"the thresholds of the run are damaged ({error}); train it again") from None
        if len(found.values) != count or not all(0 <= each <= 1 for each in found.values):
            raise OverfocusError(
                f"thresholds {list(found.values)} for {count} labels; train the run again: each label has one in [0, 1]"
            )
        return found
