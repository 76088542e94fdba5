"""A classifier is tried on a few images before anything else is done with it, so that its misfit is one line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError

SIDES = (16, 28, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)
"""Sides of square pictures that are tried where a size does not do."""


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


@torch.no_grad()
def sizes_that_work(works: Callable[[Tensor], Any], like: Tensor, most: int = 3) -> str:
    """Return which square pictures `works` takes, tried from small to large, in words; "" where it takes none.

    works: is given one picture [1, C, S, S] of noise, and raises or returns something false where it does not do.
    like: pictures [B, C, H, W] of the same channels, dtype and device.
    """

    def does(side: int) -> bool:
        noise = torch.randn(1, like.shape[1], side, side, generator=torch.Generator().manual_seed(side))
        try:
            return bool(works(noise.to(like)))
        except Exception:  # whatever the code of others raises for a size that it does not take
            return False

    found = [str(side) for side in islice(filter(does, SIDES), most)]
    return f"{', '.join(found)} pixels a side work for this network (tried from {SIDES[0]} up)" if found else ""
