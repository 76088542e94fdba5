"""The model under examination: pixels in, logits out, and which layer is attributed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from overfocus.attribution.capture import Activations, capture
from overfocus.core.deprecation import renamed_property
from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import FEATURES
from overfocus.core.modes import in_mode
from overfocus.core.preprocess import ChannelOrder


class Pixels(nn.Module):
    """A model that takes images in [0, 1] and normalises them itself, so that an attack's size is in pixels."""

    def __init__(
        self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], channel_order: ChannelOrder = "rgb"
    ) -> None:
        super().__init__()
        self.model, self.flipped = model, channel_order == "bgr"
        like = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(0))
        mean_, std_ = (torch.tensor(each).view(-1, 1, 1).to(like) for each in (mean, std))
        self.register_buffer("mean", mean_, persistent=False)
        self.register_buffer("std", std_, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits [B, K] of images [B, C, H, W] in [0, 1]."""
        return self.model(self.normalised(pixels))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return what the model takes."""
        values = (pixels.to(self.mean) - self.mean) / self.std  # type: ignore[operator]
        return values.flip(1) if self.flipped else values


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier with all that an examination must know of it."""

    name: str
    model: nn.Module
    mean: tuple[float, ...]
    """Of each channel, in [0, 1], as the model was trained with."""
    std: tuple[float, ...]
    classes: tuple[str, ...]
    at: str = FEATURES
    """The layer whose features are attributed; "@features" finds the last ones before pooling."""
    note: str = ""
    """Where the weights came from."""
    channel_order: ChannelOrder = "rgb"
    """How the model wants its channels; mean and std are in the order of the pixels."""
    trained_with: tuple[str, ...] | None = None
    """The fillings, of `diagnosis.fillings`, that it was shown in training; None where that is not known."""
    multi_label: bool = False
    """Whether an image may have several of the classes, or none."""
    precision: str = ""
    """In what its run was trained and evaluated, where that is not float32, in which it is examined."""

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or any(each <= 0 for each in self.std):
            raise OverfocusError(
                f"{self.name}: mean {self.mean} and std {self.std}; give one of each for every channel, std above 0"
            )
        object.__setattr__(self, "pixels", Pixels(self.model, self.mean, self.std, self.channel_order))

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next((each.device for each in self.model.parameters()), torch.device("cpu"))

    @property
    def fill(self) -> Tensor:
        """The colour that hides pixels, the mean that the model was normalised with: [C, 1, 1]."""
        return torch.tensor(self.mean, device=self.device).view(-1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the logits [B, K] float32 of images [B, C, H, W] in [0, 1]; differentiable."""
        return self.pixels(pixels).float()  # type: ignore[attr-defined]

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Return the probability of each class [B, K] of images [B, C, H, W] in [0, 1]."""
        logits = self(pixels)
        return logits.sigmoid() if self.multi_label else logits.softmax(dim=1)

    def capture(self, pixels: Tensor) -> Activations:
        """Run the model once and keep what it takes to ask for gradients to the layer `at`."""
        return capture(self.model, self.pixels.normalised(pixels), self.at)  # type: ignore[attr-defined]

    see = renamed_property("Classifier", "see", "capture")

    def settled(self, pixels: Tensor) -> Classifier:
        """Return the classifier with the layer "@features" replaced by its name, found on some `pixels`."""
        return replace(self, at=self.capture(pixels.to(self.device)).layer)

    @contextmanager
    def examined(self) -> Iterator[None]:
        """Hold the model in evaluation mode with no gradient to any parameter; everything is given back."""
        wanted = [each for each in self.model.parameters() if each.requires_grad]
        with in_mode(self.pixels.modules()):  # type: ignore[attr-defined]
            try:
                for each in wanted:
                    each.requires_grad_(False)
                yield
            finally:
                for each in wanted:
                    each.requires_grad_(True)
