"""How well a score tells images of the kind a model was trained on from images of another kind.

`inside` [N] are the scores of in-distribution images, `outside` [M] those of the others; higher means more
in-distribution, as the largest softmax probability does (Hendrycks and Gimpel, 1610.02136). An image is accepted where
its score reaches the threshold. Scores that are NaN are left out; a side without scores gives no answer.

The numbers depend on which images are outside: name the set beside them, and use several. AUPR also depends on the
ratio N : M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, nan

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric, Score, percentiles

AUROC = Metric("AUROC", "P(inside > outside) + P(inside = outside) / 2", "higher")
TNR = Metric("TNR at 95 % TPR", "share of outside below the highest threshold that accepts 95 % of inside", "higher")
DETECTION = Metric("detection accuracy", "largest (TPR + TNR) / 2 over thresholds", "higher", low=0.5)
AUPR = Metric("AUPR", "sum over thresholds of (TPR_t - TPR_t-1) precision_t, inside is positive", "higher")


@dataclass(frozen=True)
class Curve:
    """What each threshold accepts, from none to all: V distinct scores in descending order."""

    inside: Tensor
    """[V + 1] float64 in [0, N]: images inside that are accepted; the first is 0, the last N."""
    outside: Tensor
    """[V + 1] float64 in [0, M]."""

    @staticmethod
    def of(inside: Tensor, outside: Tensor) -> Curve:
        """Read the curve off `inside` [N] and `outside` [M], without NaN."""
        return Sides.of(inside, outside).curve()

    @property
    def answered(self) -> bool:
        """Whether there are images on both sides."""
        return bool(self.inside[-1] > 0 and self.outside[-1] > 0)


@dataclass(frozen=True)
class Sides:
    """The place of each image's score among the V distinct scores, 0 the highest."""

    inside: Tensor
    outside: Tensor
    values: int

    @staticmethod
    def of(inside: Tensor, outside: Tensor) -> Sides:
        """Sort `inside` [N] and `outside` [M] once, for any number of resamples."""
        both = torch.cat((inside.detach().double().cpu(), outside.detach().double().cpu()))
        known, place = both.unique(return_inverse=True)
        place = len(known) - 1 - place
        return Sides(place[: len(inside)], place[len(inside) :], len(known))

    def curve(self, inside: Tensor | None = None, outside: Tensor | None = None) -> Curve:
        """Return the curve of all images, or of the rows `inside` and `outside` of them."""
        first = self.inside if inside is None else self.inside[inside]
        second = self.outside if outside is None else self.outside[outside]
        return Curve(self._accepted(first), self._accepted(second))

    def _accepted(self, place: Tensor) -> Tensor:
        counts = torch.bincount(place, minlength=self.values).double().cumsum(0)
        return torch.cat((counts.new_zeros(1), counts))


def auroc(curve: Curve) -> float:
    """Return the area under the ROC curve in [0, 1]; 0.5 is chance, equal scores count half."""
    if not curve.answered:
        return nan
    area = (curve.outside.diff() * (curve.inside[1:] + curve.inside[:-1])).sum() / 2
    return float(area / (curve.inside[-1] * curve.outside[-1]))


def tnr_at(curve: Curve, tpr: float = 0.95) -> float:
    """Return the share of outside images turned away by the highest threshold that accepts at least `tpr` of the inside
    ones, in [0, 1].
    """
    if not curve.answered:
        return nan
    needed = ceil(tpr * float(curve.inside[-1]) - 1e-9)
    threshold = int((curve.inside < needed).sum())
    return float(1 - curve.outside[threshold] / curve.outside[-1])


def detection_accuracy(curve: Curve) -> float:
    """Return the best mean of TPR and TNR over all thresholds, in [0.5, 1]. The best threshold is picked on the same
    images, so on few of them it flatters.
    """
    if not curve.answered:
        return nan
    gain = curve.inside / curve.inside[-1] - curve.outside / curve.outside[-1]
    return float((1 + gain.max()) / 2)


def aupr(curve: Curve) -> float:
    """Return the average precision in [0, 1] with inside as the positive side; chance is N / (N + M)."""
    if not curve.answered:
        return nan
    precision = curve.inside[1:] / (curve.inside[1:] + curve.outside[1:]).clamp(min=1)
    return float((curve.inside.diff() * precision).sum() / curve.inside[-1])


ALL: dict[str, tuple[Metric, Callable[[Curve], float]]] = {
    "auroc": (AUROC, auroc),
    "tnr_at_95": (TNR, tnr_at),
    "detection_accuracy": (DETECTION, detection_accuracy),
    "aupr": (AUPR, aupr),
}


def ood_scores(inside: Tensor, outside: Tensor, *, seed: int = 0) -> dict[str, Score]:
    """Return auroc, tnr_at_95, detection_accuracy and aupr of `inside` [N] and `outside` [M], with intervals from
    resampling both sides. Raises OverfocusError where a side is no row of numbers.
    """
    sides = Sides.of(_clean("inside", inside), _clean("outside", outside))
    counts = len(sides.inside), len(sides.outside)
    note = f"{counts[0]} inside, {counts[1]} outside"
    if left_out := len(inside) + len(outside) - sum(counts):
        note += f", {left_out} without a score left out"
    curve, spread = sides.curve(), list(_resamples(sides, seed)) if min(counts) else []

    def score(metric: Metric, of: Callable[[Curve], float]) -> Score:
        return Score(metric, of(curve), *percentiles(np.array([of(each) for each in spread])), sum(counts), note)

    return {name: score(*each) for name, each in ALL.items()}


def _clean(name: str, scores: Tensor) -> Tensor:
    if scores.ndim != 1:
        raise OverfocusError(f"{name} is of shape {tuple(scores.shape)}; give one score an image, [N]")
    return scores[~scores.isnan()]


def _resamples(sides: Sides, seed: int) -> Iterator[Curve]:
    source = np.random.Generator(np.random.Philox(seed))
    counts = len(sides.inside), len(sides.outside)
    for _ in range(min(200, max(40, 4_000_000 // sum(counts)))):
        yield sides.curve(*(torch.from_numpy(source.integers(0, count, count)) for count in counts))
