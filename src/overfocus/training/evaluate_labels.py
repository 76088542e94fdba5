"""How well a network finds the labels of images that may have several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.modes import in_mode
from overfocus.data import Stream
from overfocus.metrics.label_scores import HALF, best_thresholds, label_scores, mean_average_precision

Autocast = Callable[[], AbstractContextManager]
Total = Callable[[Tensor], Tensor]
Keep = Callable[[Tensor, Tensor, Tensor], None]


@torch.no_grad()
def label_logits(
    model: nn.Module, stream: Stream, autocast: Autocast = nullcontext, total: Total = lambda sums: sums
) -> Tensor:
    """Return the logits [N, K] float32 of all images of a split, in their order, on the processor.

    The model is run in evaluation mode. `total` adds up [N, K] over processes, each of which sees its own rows.
    """
    dtype = next((each.dtype for each in model.parameters()), torch.float32)
    found = torch.zeros(stream.split.labels.shape, device=stream.device)
    with in_mode(model.modules()):
        for images, _, rows in stream.epoch():
            mine = stream.mine(len(images)) if stream.shared else slice(None)
            with autocast():
                found[rows[mine]] = model(images[mine].to(dtype)).float()
    return total(found).cpu()


def evaluate_labels(
    model: nn.Module, stream: Stream, autocast: Autocast = nullcontext, total: Total = lambda sums: sums,
    keep: Keep = lambda logits, labels, rows: None,
) -> dict[str, float]:  # fmt: skip
    """Return of a split the mean average precision (left out where no label has one), the share of all labels that is
    right at 0.5 as `accuracy`, the mean binary cross-entropy in nats, and the number of images.

    `keep` gets logits [N, K], labels [N, K] and places [N] of all images, in every process.
    """
    logits, labels = label_logits(model, stream, autocast, total), stream.split.labels
    keep(logits, labels, torch.arange(len(labels)))
    precision = mean_average_precision(logits, labels)
    return {
        **({"mean_average_precision": precision} if isfinite(precision) else {}),
        "accuracy": float(((logits > 0) == labels).double().mean()),
        "loss": float(F.binary_cross_entropy_with_logits(logits, labels.float())),
        "images": len(labels),
    }


def judged_by(scores: Mapping[str, float]) -> tuple[str, float]:
    """Return by which score networks are compared, in words, and its value: mean average precision of several labels,
    accuracy of one class.
    """
    name = "mean_average_precision" if "mean_average_precision" in scores else "accuracy"
    return name.replace("_", " "), scores[name]


def label_report(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what a run keeps of its labels: thresholds, where they come from, and the scores of each split.

    logits, labels: split -> [N, K]; the thresholds are the best ones of `val`, 0.5 where there is none.
    """
    held = "val" in logits
    found = best_thresholds(logits["val"], labels["val"]) if held else torch.full((len(names),), torch.nan).double()
    unknown = [name for name, known in zip(names, found.isfinite().tolist(), strict=True) if not known]
    thresholds = found.nan_to_num(nan=HALF)
    if not held:
        why = "Thresholds are 0.5: no images are held out to choose better ones on; data.val holds some out."
    else:
        few = f"; 0.5 for {', '.join(unknown)}, which all or none of them have" if unknown else ""
        count = len(labels["val"])
        why = f"Thresholds are those of the highest F1 on {count} held-out images, whose own F1 they flatter{few}."
    scores = {name: label_scores(logits[name], labels[name], thresholds).as_dict(names) for name in logits}
    return {"thresholds": thresholds.tolist(), "why": why, "scores": scores}
