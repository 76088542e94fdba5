"""A classifier is tried on a few images before anything else is done with it, so that its misfit is one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError


def try_classifier(run: Callable[[Tensor], Any], images: Tensor, classes: int, name: str, instead: str) -> None:
    """Run a classifier in evaluation mode once on `images` [B, C, H, W], without gradients; no random state moves.

    Raises OverfocusError where it fails, with what to give `instead`, or where it returns no logits [B, `classes`].
    """
    count, channels, height, width = images.shape
    given = f"{name}, given images of {channels} channels and {height} x {width} pixels,"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            logits = run(images)
    except Exception as error:  # whatever the code of others raises
        raise OverfocusError(f"{given} fails: {str(error).partition(chr(10))[0]}; give {instead}") from error
    if not isinstance(logits, Tensor) or logits.shape != (count, classes):
        answer = f"a tensor {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise OverfocusError(
            f"{given} returns {answer} for {count} of them where the data has {classes} classes; it must return logits "
            f"[{count}, {classes}]: give a model with as many classes as the data"
        )
