"""What half of an object is worth: is a picture still named rightly when a half-plane through its object is hidden?

A network that uses the whole object knows it from either half. This needs no heat map and no layer. Each half is hidden
once, so that whatever the object holds is shown once and hidden once, and with several fillings, since a method that
trained with one of them (Cutout's grey, CutMix's pieces of other pictures) is used to it.

Accuracy bounds these numbers: a network that is right on 60 % of the whole pictures is hardly right on 80 % of the
halves. `kept` is therefore of the pictures that were right at first, less what one class for everything would keep.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf

import torch
from torch import Tensor

from overfocus.metrics.hiding import floor
from overfocus.metrics.score import Metric

EITHER = "mean over both halves of the share named rightly"
HALF = Metric("accuracy, half of the object hidden", f"{EITHER}, and over fillings", "higher")
NEW = Metric(
    "accuracy, half of the object hidden by what is new to it",
    f"{EITHER}, and over the fillings that the network did not train with", "higher",
)  # fmt: skip
WHOLE = Metric("accuracy, nothing hidden", "share named rightly", "higher")
KEPT = Metric(
    "kept with half of the object hidden",
    "over pictures right at first: (share of halves named rightly - floor) / (1 - floor), floor: share of their "
    "commonest class", "higher", low=-inf,
)  # fmt: skip
FILLED = {
    "mean": Metric("accuracy, half is the mean colour", EITHER, "higher"),
    "blur": Metric("accuracy, half is blurred", EITHER, "higher"),
    "noise": Metric("accuracy, half is noise", EITHER, "higher"),
    "patch": Metric("accuracy, half is another picture's", EITHER, "higher"),
}
ONE = Metric("accuracy, one half", "mean over fillings of the share named rightly by the half on one side", "higher")
OTHER = Metric("accuracy, the other half", "mean over fillings of the same by the half on the other side", "higher")
BOTH = Metric("right by each half alone", "mean over fillings of the share named rightly by both halves", "higher")
AGREEMENT = Metric("agreement of the halves", "mean over fillings of the share whose two halves are named alike")


def half_scores(
    answers: Mapping[str, Tensor], whole: Tensor, labels: Tensor, trained_with: Collection[str] = ()
) -> dict[str, tuple[Metric, Tensor]]:
    """Return name -> what it means, and its values [N] float64; NaN where a picture has no answer.

    answers: filling -> the classes [2, N] int64 that are named with one half shown, and with the other; below 0 for
    none. whole: the classes [N] that are named with nothing hidden. labels: [N]. trained_with: the fillings that the
    network saw in training.
    """
    named = torch.stack(list(answers.values()))
    right = (named == labels).double()
    half, least = right.mean(dim=(0, 1)), floor(whole, labels)
    kept = torch.where(whole == labels, (half - least) / (1 - least), torch.nan)
    new = right[[row for row, fill in enumerate(answers) if fill not in trained_with]]
    return {
        "half_new": (NEW, new.mean(dim=(0, 1))),
        "half": (HALF, half),
        "whole": (WHOLE, (whole == labels).double()),
        "kept": (KEPT, kept),
        **{f"half_{fill}": (FILLED[fill], right[row].mean(dim=0)) for row, fill in enumerate(answers)},
        "one_half": (ONE, right[:, 0].mean(dim=0)),
        "other_half": (OTHER, right[:, 1].mean(dim=0)),
        "both": (BOTH, right.prod(dim=1).mean(dim=0)),
        "agreement": (AGREEMENT, ((named[:, 0] == named[:, 1]) & (named[:, 0] >= 0)).double().mean(dim=0)),
    }
