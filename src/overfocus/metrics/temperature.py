"""Temperature scaling (Guo et al., 1706.04599): one number T that softens or sharpens all logits, p = softmax(x / T).

T is found on one half of the held-out images and evaluated on the other: where it was fitted, it flatters. It never
changes which class is predicted, so it mends confidence and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, nan

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.metrics.confidence import BLOCK, check, scores
from overfocus.metrics.score import Score

RULED_OUT = -1e30
"""Stands for a logit of minus infinity, which has no weight at any temperature; times a weight of 0 it is 0."""
REACH = 12.0
"""The inverse temperature is looked for within exp(-12) .. exp(12) over the mean spread of the logits."""


@dataclass(frozen=True)
class Tempered:
    """A temperature, and the scores of other images without and with it."""

    temperature: float
    """Above 1: the model was over-confident. NaN where no finite one is best."""
    before: dict[str, Score]
    after: dict[str, Score]


def halves(labels: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split images of `labels` [N] (or [N, K], by their largest) in two: rows, ascending int64. The halves differ by at
    most one image, and so do their images of any class.
    """
    classes = (labels.argmax(dim=1) if labels.is_floating_point() else labels.long()).cpu()
    order = Key.seeded(seed).fold_in("halves").order(len(classes))
    order = order[classes[order].argsort(stable=True)]
    return order[0::2].sort().values, order[1::2].sort().values


def temperature(logits: Tensor, labels: Tensor, *, probabilities: bool = False) -> float:
    """Return the T above 0 that gives `logits` [N, K] the least NLL under `labels` [N] or [N, K].

    The NLL is convex in 1/T, so its slope has one root. NaN where there is none: every image is right (T goes to 0), or
    the logits say no more of the label than chance (T goes to infinity). Images that are not numbers are left out.
    Probabilities, where the flag says so, are taken as logits by their logarithm.
    """
    from scipy.optimize import brentq

    check(logits, labels, probabilities)
    values, labels = _usable(_logits(logits.detach(), probabilities), labels.to(logits.device))
    said = _label_sum(values, labels)
    width = -float(values.where(values > RULED_OUT, 0.0).mean(dtype=torch.float64)) if len(values) else nan

    def slope(t: float) -> float:
        return _expected_sum(values, exp(t) / width) - said

    if not width > 0 or not RULED_OUT < said < 0:
        return nan
    ends = _bracket(slope, min(max(log(width), -REACH), REACH))
    return width / exp(brentq(slope, *ends, xtol=1e-9)) if ends else nan  # type: ignore[arg-type]


def _bracket(slope: Callable[[float], float], start: float) -> tuple[float, float] | None:
    """Return two points with the root of the rising `slope` between them, looked for around `start`, T = 1, which is
    most often near; None where there is none within reach.
    """
    way = 1.0 if slope(start) < 0 else -1.0
    near, step = start, 0.5
    while abs(near) <= REACH:
        far = near + way * step
        if slope(far) * way > 0:
            return min(near, far), max(near, far)
        near, step = far, 2 * step
    return None


def scaled(logits: Tensor, temperature: float, *, probabilities: bool = False) -> Tensor:
    """Return the logits [N, K] at `temperature`; of probabilities, where the flag says so, their tempered logits."""
    return _logits(logits.detach(), probabilities).double() / temperature


def tempered(logits: Tensor, labels: Tensor, *, probabilities: bool = False, bins: int = 15, seed: int = 0) -> Tempered:
    """Fit T on one of the `halves` of N held-out images and score the other without and with it."""
    fitted, held_out = (rows.to(logits.device) for rows in halves(labels, seed))
    labels = labels.to(logits.device)
    found = temperature(logits[fitted], labels[fitted], probabilities=probabilities)
    left = logits[held_out], labels[held_out]
    before = scores(*left, probabilities=probabilities, bins=bins, seed=seed)
    after = scores(scaled(left[0], found, probabilities=probabilities), left[1], bins=bins, seed=seed)
    return Tempered(found, before, after)


def _logits(values: Tensor, probabilities: bool) -> Tensor:
    # A probability of 0 that was rounded from a small one must not rule a temperature out.
    return values.float().clamp(min=torch.finfo(torch.float32).tiny).log() if probabilities else values


def _usable(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images whose numbers are numbers, logits [N, K] less their row's largest, in float32 or better."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    values = wide - wide.amax(dim=1, keepdim=True)
    kept = ~values.isnan().any(dim=1)
    if labels.is_floating_point():
        kept &= ~labels.isnan().any(dim=1)
    return values[kept].clamp(min=RULED_OUT), labels[kept]


def _label_sum(values: Tensor, labels: Tensor) -> float:
    """Return the sum over images of the label's logit."""
    soft = labels.is_floating_point()
    said = values * labels if soft else values.gather(1, labels.long()[:, None])
    return float(said.sum(dtype=torch.float64))


def _expected_sum(values: Tensor, inverse: float) -> float:
    """Return the sum over images of the expected logit at the `inverse` temperature; less the label's, it is the slope
    of the NLL.
    """
    blocks = values.split(max(1, BLOCK // values.shape[1]))
    return float(sum(((block * inverse).softmax(dim=1) * block).sum(dtype=torch.float64) for block in blocks))
