"""What flows through the two seams of training: a batch of images, and a batch of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from weakref import finalize

import numpy as np
import torch
from torch import Tensor

from overfocus.core.targets import Targets


@dataclass(frozen=True)
class Batch:
    """Values with their targets, and what the methods measured on the way.

    On the image seam the values are images [B, C, H, W], on the feature seam features [B, C, h, w], tokens [B, N, D] or
    a vector [B, D].
    """

    values: Tensor
    targets: Targets
    measured: Mapping[str, Tensor] = field(default_factory=dict)
    """Name -> [] or [B]: what happened, read off the result. Values of methods that ran on part of the batch hold NaN
    elsewhere.
    """
    views: int = 1
    """How many versions of the same images follow one another; the first is the plain one where there are several."""

    @property
    def images(self) -> Tensor:
        """The values, on the image seam: [B, C, H, W]."""
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def noting(self, **measured: Tensor) -> Batch:
        """Return the batch with more `measured`, detached; a name that is taken gets a number."""
        notes = dict(self.measured)
        for name, value in measured.items():
            key, number = name, 2
            while key in notes:
                key, number = f"{name}_{number}", number + 1
            notes[key] = value.detach()
        return replace(self, measured=notes)


def by_hand(*values: Tensor) -> bool:
    """Whether a result of `values` may be written piece by piece: on a processor, eagerly, without a gradient."""
    on_processor = all(v.device.type == "cpu" and not v.requires_grad for v in values)
    return on_processor and not torch.compiler.is_compiling()


def blank(like: Tensor) -> Tensor:
    """Return an unwritten tensor on the processor, of the shape, type and layout of `like`.

    To get the memory of a batch from the system and to touch it for the first time takes three quarters of the time of
    a copy. So the block of the last batch is kept when nobody holds that batch any more, and the next one of the same
    size lies in it.
    """
    size = like.numel() * like.element_size()
    if not size:
        return torch.empty_like(like)
    block = _spare.pop(size, None)
    if block is None:
        block = torch.empty(size, dtype=torch.uint8).numpy()
    lent = block[:]
    finalize(lent, _keep, block)
    return (
        torch.from_numpy(lent).view(like.dtype).as_strided(like.shape, torch.empty_like(like, device="meta").stride())
    )


_spare: dict[int, np.ndarray] = {}
"""Bytes -> the block that was given back last; never more than one."""


def _keep(block: np.ndarray) -> None:
    _spare.clear()
    _spare[block.nbytes] = block
