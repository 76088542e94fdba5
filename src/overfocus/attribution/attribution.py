"""What every method of attribution is: a value that maps where the evidence for a logit lies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from overfocus.attribution.capture import FEATURES, Activations, capture
from overfocus.attribution.frozen_eval import fitting, frozen_eval, logits_of, own_images
from overfocus.attribution.target import Target, weighing
from overfocus.core.errors import OverfocusError

Weigh = Callable[[Tensor], Tensor]
"""Logits [B, K] -> the weights [B, K] by which they add up to what is attributed."""


@dataclass(frozen=True)
class Attribution:
    """A method; its fields are its settings.

    Called, it returns maps [B, h, w] float32 on the images' device, in the method's own scale: higher is more evidence
    for the target, nothing is stretched to [0, 1], and NaN says that there is no answer. The global random state is
    neither read nor moved, and the model is left as it was.
    """

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        target: Target = "predicted",
        labels: Tensor | None = None,
        at: str = FEATURES,
    ) -> Tensor:
        """Map `images` [B, C, H, W] for `target` (see `target.target_weights`), at the layer `at` (see `capture`)."""
        return self._maps(model, images, weighing(target, labels), at)

    def with_notes(
        self,
        model: nn.Module,
        images: Tensor,
        target: Target = "predicted",
        labels: Tensor | None = None,
        at: str = FEATURES,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Do the same, and return for each image what is to be said of its map; "" where that is nothing."""
        return self._noted(model, images, weighing(target, labels), at)

    def _noted(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> tuple[Tensor, tuple[str, ...]]:
        return self._maps(model, images, weigh, at), ("",) * len(images)

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        """Map `images` for their logits [B, K] weighed by `weigh(logits)`."""
        raise NotImplementedError


@dataclass(frozen=True)
class LayerMethod(Attribution, ABC):
    """A method of the features of one layer and the gradient to them, at the size of the layer."""

    needs_gradient: ClassVar[bool] = True
    """Whether the gradient is used; where not, the map is the same for every class."""

    def map(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return the maps [B, h, w] float32 of `features` and `gradient`, both [B, C, h, w]; pure arithmetic."""
        return self._map(features.detach().float(), gradient.detach().float())

    @abstractmethod
    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Compute in float32."""

    def of(self, activations: Activations, weights: Tensor) -> Tensor:
        """Map the logits weighed by `weights` [B, K]; one value of `activations` serves several methods."""
        features = activations.features
        gradient = activations.gradient_of(weights) if self.needs_gradient else torch.zeros_like(features)
        with torch.no_grad():
            return self.map(features, gradient)

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        activations = capture(model, images, at)
        return self.of(activations, weigh(activations.logits))


@dataclass(frozen=True)
class PixelMethod(Attribution, ABC):
    """A method that runs the model on changed images; its maps have the size of the images and `at` is not used."""

    def _maps(self, model: nn.Module, images: Tensor, weigh: Weigh, at: str) -> Tensor:
        images = own_images(images)
        with frozen_eval(model) as lent:
            with fitting(lent, images):
                weights = weigh(logits_of(lent, images.clone()))
            return self._map(ClassScore(lent), images, weights).detach().float()

    @abstractmethod
    def _map(self, score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
        """Map `images` for the weighed logits."""


@dataclass(frozen=True, eq=False)
class ClassScore:
    """The weighed logits of a model in evaluation mode."""

    model: nn.Module

    def __call__(self, images: Tensor, weights: Tensor) -> Tensor:
        """Return [B] for images [B, C, H, W] and weights [B, K]."""
        # Copied, since a first layer that writes to its input may not do so on a leaf.
        return (logits_of(self.model, images.clone()) * weights).sum(dim=1)


def check(method: Attribution, setting: str, low: float, high: float, *, whole: bool = False) -> None:
    """Raise OverfocusError unless the number `setting` of `method` lies in [low, high]; an integer if `whole`."""
    value = getattr(method, setting)
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        kind = "an integer" if whole else "a number"
        raise OverfocusError(f"{type(method).__name__}: {setting}={value!r} must be {kind} in [{low}, {high}]")
