"""Occlusion: how far the logit falls when a window around the pixel is covered.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014, 1311.2901), section 4.2,
by captum.

Formula: L(p) = mean over the windows that cover p of logit(x) - logit(x with the window filled).

Settings
    window    side of the square window: pixels (whole) or a share of the image's shorter side (below 1)
    stride    step between windows: pixels (whole) or a share of the window (below 1)
    fill      value of covered pixels, in the units of the model's input; 0 is the mean of normalised data
    chunk     covered images in one forward

Where it misleads: only what one window can hide is found, so evidence that is there twice looks like none. A filled
square is a thing of its own, and models that were trained with Cutout do not mind it: a smaller fall is then no sign
that the network uses more of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from overfocus.attribution.attribution import ClassScore, PixelMethod, check


@dataclass(frozen=True)
class Occlusion(PixelMethod):
    """Fall of the logit under a sliding window; of both signs, in logits."""

    window: float = 0.125
    stride: float = 0.5
    fill: float = 0.0
    chunk: int = 64

    def __post_init__(self) -> None:
        check(self, "window", 1e-6, 1e6)
        check(self, "stride", 1e-6, 1e6)
        check(self, "fill", float("-inf"), float("inf"))
        check(self, "chunk", 1, 2**20, whole=True)

    def _map(self, score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
        from captum.attr import Occlusion as Captum

        channels, *size = images.shape[1:]
        side = min(_pixels(self.window, min(size)), *size)
        step = min(_pixels(self.stride, side), side)
        found = Captum(score).attribute(
            images,
            sliding_window_shapes=(channels, side, side),
            strides=(channels, step, step),
            baselines=float(self.fill),
            additional_forward_args=weights,
            perturbations_per_eval=max(self.chunk // len(images), 1),
        )
        return found[:, 0]  # all colours are covered at once, and share one fall


def _pixels(setting: float, of: int) -> int:
    """Return whole pixels, of which there is at least one."""
    return max(round(setting * of), 1) if setting < 1 else round(setting)
