"""Accuracy of a plain model on a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.modes import in_mode
from overfocus.data import Stream
from overfocus.training.evaluate_labels import evaluate_labels
from overfocus.training.group_sums import GroupSums

FOLLOWS = "follows_"
Keep = Callable[[Tensor, Tensor, Tensor], None]
"""Takes logits [n, K] float32, labels [n] and places in the split [n] of each batch."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    stream: Stream,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    total: Callable[[Tensor], Tensor] = lambda sums: sums,
    keep: Keep = lambda logits, labels, rows: None,
) -> dict[str, float]:
    """Return accuracy and balanced accuracy (the mean recall of the classes that occur) in [0, 1], mean cross-entropy
    in nats, and the number of images of a split.

    Where its cues name different classes, also the share of the answers that each is followed by, `follows_CUE`, and of
    those that follow none, `follows_none`; where its groups are known, `worst_group`, see `GroupSums`. The model is run
    in evaluation mode; each module gets its own mode back.
    `total` adds up [3 + cues] over processes, each of which sees its own rows; `keep` gets what is computed of them. Of
    images with several labels see `evaluate_labels`.
    """
    if stream.split.multi_label:
        return evaluate_labels(model, stream, autocast, total, keep)
    dtype, device = next((each.dtype for each in model.parameters()), torch.float32), torch.device(stream.device)
    # Counts of any size are exact in float64, which Apple's GPUs lack.
    cues = {name: classes.to(device) for name, classes in stream.split.cues.items()}
    dtype_of_sums = torch.float32 if device.type == "mps" else torch.float64
    sums, many = torch.zeros(3 + len(cues), dtype=dtype_of_sums, device=device), len(stream.split.classes)
    of_class = torch.zeros(2 * many, dtype=dtype_of_sums, device=device)
    of_group = GroupSums(stream.split, of_class)
    with in_mode(model.modules()):
        for images, labels, rows in stream.epoch():
            if stream.shared:
                mine = stream.mine(len(images))
                images, labels, rows = images[mine], labels[mine], rows[mine]  # noqa: PLW2901
            with autocast():
                logits = model(images.to(dtype)).float()
            keep(logits, labels, rows)
            answers = logits.argmax(dim=1)
            loss, count = F.cross_entropy(logits, labels, reduction="sum"), labels.new_tensor(len(labels))
            followed = ((answers == classes[rows]).sum() for classes in cues.values())
            of_class.index_add_(0, labels, (answers == labels).to(dtype_of_sums))
            of_class.index_add_(0, labels + many, torch.ones_like(labels, dtype=dtype_of_sums))
            of_group.add(answers, labels, rows)
            sums += torch.stack(((answers == labels).sum(), loss, count, *followed))
    named, counts = total(of_class).view(2, -1)
    recalls = (named / counts)[counts > 0]
    right, loss, images, *followed = total(sums).tolist()
    scores = {
        "accuracy": right / images, "balanced_accuracy": float(recalls.mean()), "loss": loss / images,
        "images": int(images), **of_group.scores(total),
    }  # fmt: skip
    if cues:
        shares = {name: count / images for name, count in zip(cues, followed, strict=True)}
        scores |= {f"{FOLLOWS}{name}": share for name, share in shares.items()}
        scores[f"{FOLLOWS}none"] = 1 - sum(shares.values())
    return scores


def follows(scores: Mapping[str, float]) -> dict[str, float]:
    """Return cue -> share of the answers that follow it, `none` last, of the scores of a split; empty where its cues
    agree.
    """
    return {name.removeprefix(FOLLOWS): share for name, share in scores.items() if name.startswith(FOLLOWS)}
