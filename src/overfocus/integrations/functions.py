"""CutMix, Mixup and Cutout as functions, for a loop that wants nothing else.

    images, targets = of.cutmix(images, labels)
    loss = targets.cross_entropy(model(images))

They are the methods of the same names, with own boxes, shares and partners for each image, and always act unless `prob`
says otherwise. They chain, `of.mixup(*of.cutmix(images, labels))`; what acts on features needs `of.Objective`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.targets import Targets
from overfocus.regularizers.cutmix import CutMix
from overfocus.regularizers.cutout import Cutout
from overfocus.regularizers.mixup import Mixup
from overfocus.regularizers.regularizer import IMAGE, Regularizer

Mixed = tuple[Tensor, Targets]


def cutmix(
    images: Tensor, targets: Tensor | Targets, *, generator: torch.Generator | None = None, **settings: Any
) -> Mixed:
    """Return images [B, C, H, W] with a box from another image each, and their targets (1905.04899).

    targets: class indices [B], soft labels [B, K], `of.Targets.multi(labels)` where an image has several, or what one
        of these functions returned.
    generator: of the draws, on the CPU; without one torch's own, as `torch.manual_seed` set it.
    settings: those of `of.CutMix`, except that `prob` is 1 unless given.

    The inputs are not written to. Raises OverfocusError for settings out of range and for `at` a layer.
    """
    return _acted(CutMix(**{"prob": 1.0, **settings}), images, targets, generator)


def mixup(
    images: Tensor, targets: Tensor | Targets, *, generator: torch.Generator | None = None, **settings: Any
) -> Mixed:
    """Return images [B, C, H, W] blended with another image each, and their targets (1710.09412). Else as `cutmix`."""
    return _acted(Mixup(**{"prob": 1.0, **settings}), images, targets, generator)


def cutout(
    images: Tensor, targets: Tensor | Targets, *, generator: torch.Generator | None = None, **settings: Any
) -> Mixed:
    """Return images [B, C, H, W] with a square hidden each, and their targets (1708.04552). Else as `cutmix`."""
    return _acted(Cutout(**{"prob": 1.0, **settings}), images, targets, generator)


def _acted(method: Regularizer, images: Tensor, targets: Tensor | Targets, generator: torch.Generator | None) -> Mixed:
    if method.places != {IMAGE}:
        raise OverfocusError(f"{method} acts on features, which a function of images does not see; use of.Objective")
    seed = int(torch.randint(2**62, (), generator=generator))
    known = targets if isinstance(targets, Targets) else Targets.of(targets)
    if len(known) != len(images):
        raise OverfocusError(f"{len(images)} images and {len(known)} targets; give a target for each image")
    if isinstance(targets, Tensor) and targets.ndim > 1:
        known.check()
    mixed = method.on_batch(Batch(images, known), Key.seeded(seed, device=images.device))
    return mixed.images, mixed.targets
