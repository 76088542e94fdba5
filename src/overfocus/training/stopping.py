"""Early stopping: when training ends before its time, and which epoch's network is then the result.

Under a cosine the network in the middle of training is not a finished one, so it is not handed out because training
stopped there: the result is the network of the epoch with the lowest loss on held-out images (Prechelt, "Early stopping
- but when?", 1998). Loss and not accuracy, which of 100 images moves in steps of one in a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.training.evaluate_labels import judged_by
from overfocus.training.recipe import Recipe

PATIENCE = 3
"""Epochs that `auto` waits for a lower loss."""
HELD_OUT, TRAINED = 100, 1000
"""Held-out images, and images to train on, from which `auto` stops early: fewer cannot tell epochs apart, or take no
time that is worth saving.
"""


@dataclass(frozen=True)
class Stopping:
    """The rule of one run."""

    patience: int
    """Epochs without a lower held-out loss after which training ends; 0 trains all of them."""
    held_out: int = 0
    """Images that this is read from."""
    trained: int = 0
    """Images of an epoch."""
    asked: bool = True
    """Whether the settings say so, instead of `auto`."""

    @staticmethod
    def of(recipe: Recipe, images: Mapping[str, int]) -> Stopping:
        """Return the rule of `recipe` for splits of so many `images`.

        Raises OverfocusError where it asks for patience and no images are held out.
        """
        held, trained = images.get("val", 0), images["train"]
        if recipe.tune == "probe" or recipe.patience == 0:
            return Stopping(0)
        if recipe.patience == "auto":
            enough = held >= HELD_OUT and trained >= TRAINED
            return Stopping(PATIENCE if enough else 0, held, trained, asked=False)
        if not held:
            raise OverfocusError(
                f"recipe.patience = {recipe.patience} stops by the loss on held-out images, and there are none; give "
                "--val 0.1, or leave it out"
            )
        return Stopping(recipe.patience, held, trained)

    def better(self, scores: Mapping[str, float], best: Mapping[str, Any]) -> bool:
        """Whether an epoch of these held-out `scores` is the best so far: by its loss, or, without patience, by that
        of `judged_by`.
        """
        if self.patience:
            return scores["loss"] < best.get("loss", inf)
        return judged_by(scores)[1] > (judged_by(best)[1] if best else -1.0)

    def due(self, epoch: int, scores: Mapping[str, Any], best: Mapping[str, Any]) -> bool:
        """Whether training ends after an `epoch` of these `scores`, empty where it was not evaluated."""
        return bool(self.patience and scores and best) and epoch - best["epoch"] >= self.patience

    def as_dict(self, epochs: int, length: int, kept: int) -> dict[str, Any]:
        """Return what JSON can hold of a run of `epochs`, of a `length` planned, whose result is epoch `kept`."""
        why = self._sentence(epochs, length, kept)
        return {"patience": self.patience, "trained": epochs, "planned": length, "kept": kept, "why": why}

    def _sentence(self, epochs: int, length: int, kept: int) -> str:
        if self.patience:
            ended = f"All {length} epochs were trained"
            if epochs < length:
                ended = f"Training stopped after {epochs} of {length} epochs, {epochs - kept} without a lower loss"
            lowest = f"whose loss on {self.held_out} held-out images is lowest"
            return f"{ended}; the trained network is that of epoch {kept}, {lowest}."
        if self.asked:
            return f"All {length} epochs were trained, without early stopping."
        return (
            f"All {length} epochs were trained: early stopping begins at {HELD_OUT} held-out images and {TRAINED:,} to "
            f"train on, and there are {self.held_out} and {self.trained:,}."
        )
