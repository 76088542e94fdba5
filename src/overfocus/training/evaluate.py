"""Accuracy of a plain model on a split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.modes import in_mode
from overfocus.data import Stream


@torch.no_grad()
def evaluate(
    model: nn.Module,
    stream: Stream,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    total: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> dict[str, float]:
    """Return accuracy in [0, 1], mean cross-entropy in nats, and the number of images of a split.

    The model is run in evaluation mode; each module gets its own mode back. `total` adds up [3] over processes, each of
    which sees its own rows.
    """
    dtype = next((each.dtype for each in model.parameters()), torch.float32)
    device = torch.device(stream.device)
    # Counts of any size are exact in float64, which Apple's GPUs lack.
    sums = torch.zeros(3, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    with in_mode(model.modules()):
        for images, labels, _ in stream.epoch():
            if stream.shared:
                mine = stream.mine(len(images))
                images, labels = images[mine], labels[mine]  # noqa: PLW2901
            with autocast():
                logits = model(images.to(dtype)).float()
            right = (logits.argmax(dim=1) == labels).sum()
            sums += torch.stack(
                (right, F.cross_entropy(logits, labels, reduction="sum"), labels.new_tensor(len(labels)))
            )
    right, loss, images = total(sums).tolist()
    return {"accuracy": right / images, "loss": loss / images, "images": int(images)}
