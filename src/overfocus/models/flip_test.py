"""Test-time flip: the mean of the logits of a picture and of its mirror."""

from __future__ import annotations

from torch import Tensor, nn


class FlipTest(nn.Module):
    """A classifier that sees every picture twice, once mirrored left and right; twice the time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean logits [B, K] of `images` [B, C, H, W] and of their mirrors."""
        return (self.model(images) + self.model(images.flip(3))) / 2
