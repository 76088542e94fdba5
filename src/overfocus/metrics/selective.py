"""Confidence that means something, and when not to answer: both from pictures that a network was not trained on.

Calibrated confidence is the probability after temperature scaling (`metrics.temperature`). Selective prediction
(Geifman and El-Yaniv, 1705.08500) answers only from a threshold of confidence on, chosen so that what is answered has
a wished accuracy on the held-out pictures. The threshold here is the plain one: the smallest that holds there. It comes
with the exact binomial interval of its accuracy (Clopper and Pearson 1934), which says how much so few pictures prove.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import Interval
from overfocus.metrics.temperature import scaled, temperature

DIGITS = 1e6
"""Confidences are kept in millionths, rounded down, so that a picture at a threshold is on its upper side."""
ROUNDING = 1e-12


@dataclass(frozen=True)
class Threshold:
    """From which confidence on a network answers, and what that comes to on the held-out pictures."""

    value: float
    """In [0, 1]; 0 answers everything."""
    accuracy: Interval
    """Of the held-out pictures that are answered, n of them."""
    images: int
    """Held-out pictures in all."""

    @property
    def answered(self) -> float:
        """The share of the held-out pictures that is answered, in [0, 1]."""
        return self.accuracy.n / self.images


@dataclass(frozen=True)
class HeldOut:
    """What a network says of pictures that it was not trained on: enough to calibrate it, and for any threshold."""

    split: str
    temperature: float | None
    """None where the logits say no more of the class than chance does."""
    confidences: tuple[float, ...]
    """Of the predicted classes, at that temperature, in [0, 1]."""
    right: tuple[bool, ...]
    """Whether each is the picture's class."""

    def threshold(self, accuracy: float) -> Threshold:
        """Return the smallest threshold from which on the answers have at least this `accuracy`, in (0, 1].

        Raises OverfocusError where none has, with the most that one has.
        """
        if not 0 < accuracy <= 1:
            raise OverfocusError(f"accuracy {accuracy:g}; give more than 0 and at most 1, such as 0.95")
        confidences, order = torch.tensor(self.confidences, dtype=torch.float64).sort(descending=True)
        hits = torch.tensor(self.right, dtype=torch.float64)[order].cumsum(0)
        shares = hits / torch.arange(1, len(hits) + 1)
        last = torch.cat(
            (confidences[1:] < confidences[:-1], torch.ones(1, dtype=torch.bool))
        )  # equal ones go together
        held = last & (shares >= accuracy - ROUNDING)
        if not held.any():
            raise OverfocusError(
                f"accuracy {accuracy:g}: no threshold of confidence reaches it on the {len(hits)} held-out pictures, "
                f"where the most is {float(shares[last].max()):.3f}; give at most that"
            )
        count = int(held.nonzero()[-1]) + 1
        value = 0.0 if count == len(hits) else float(confidences[count - 1])
        return Threshold(value, _interval(int(hits[count - 1]), count), len(hits))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "split": self.split, "images": len(self.right), "temperature": self.temperature,
            "confidences": list(self.confidences), "right": [int(each) for each in self.right],
        }  # fmt: skip

    @staticmethod
    def read(values: Mapping[str, Any]) -> HeldOut:
        """Return what `as_dict` gave; OverfocusError for anything else."""
        try:
            confidences, right = tuple(map(float, values["confidences"])), tuple(map(bool, values["right"]))
            found = HeldOut(str(values["split"]), values["temperature"], confidences, right)
        except (KeyError, TypeError, ValueError) as error:
            raise OverfocusError(f"the held-out answers of the run are damaged ({error}); train it again") from None
        if not len(confidences) == len(right) > 0:
            raise OverfocusError(f"{len(confidences)} held-out confidences for {len(right)} answers; train it again")
        return found


def held_out_answers(logits: Tensor, labels: Tensor, split: str) -> HeldOut:
    """Return what `logits` [N, K] of N held-out pictures with `labels` [N] come to.

    The temperature is that of Platt's targets (1999): of n pictures the label counts (n + 1) / (n + 2) and the other
    classes share the rest. So a network that names all n rightly, as on few pictures most do, is not given the
    confidence 1, and of many pictures the targets are the labels.
    """
    found = temperature(logits, targets(labels, logits.shape[1]))
    known = found if isfinite(found) else None
    confidences, predicted = scaled(logits, known or 1.0).softmax(dim=1).max(dim=1)
    kept = tuple(floor(each * DIGITS) / DIGITS for each in confidences.tolist())
    return HeldOut(split, known, kept, tuple((predicted == labels).tolist()))


def targets(labels: Tensor, classes: int) -> Tensor:
    """Return Platt's targets of N `labels` [N] below `classes`, two or more: [N, classes] float64."""
    rest = 1 / (len(labels) + 2)
    onehot = F.one_hot(labels, classes).double()
    return onehot * (1 - rest) + (1 - onehot) * (rest / (classes - 1))


def _interval(hits: int, count: int) -> Interval:
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(0.95, method="exact")
    return Interval(hits / count, float(found.low), float(found.high), count)
