"""What a finished network says of pictures that it was not trained on, kept in the run: see `metrics.selective`."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from overfocus.core.modes import in_mode
from overfocus.data import Stream
from overfocus.metrics.selective import HeldOut, held_out_answers
from overfocus.training.processes import gathered

SPLIT = "val"
"""The only split that is held out: the training images are known to the network, and the test images judge it."""


@torch.no_grad()
def held_out_confidence(model: nn.Module, stream: Stream, fabric: Fabric) -> HeldOut:
    """Return the answers of `model`, in float32 and evaluation mode, to the pictures of `stream`, of all processes."""
    logits, labels = [], []
    dtype = next((each.dtype for each in model.parameters()), torch.float32)
    with in_mode(model.modules()):
        for images, named, _ in stream.epoch():
            mine = stream.mine(len(images)) if stream.shared else slice(None)
            logits.append(model(images[mine].to(dtype)).float().cpu())
            labels.append(named[mine].cpu())
    answers, classes = zip(*gathered(fabric, (torch.cat(logits), torch.cat(labels))), strict=True)
    return held_out_answers(torch.cat(answers), torch.cat(classes), SPLIT)
