"""DropBlock: hide random blocks of a feature map, in all its channels at once.

Source: Ghiasi, Lin and Le, "DropBlock: A regularization method for convolutional networks" (NeurIPS 2018, 1810.12890),
algorithm 1.

Formula: every position is the centre of a block of size x size with probability gamma; what lies in a block is zeroed,
the rest of the image's map divided by the kept share. gamma solves  mean over positions of (1 - gamma)^n = 1 - drop,
n = the number of centres whose block, clipped at the border, covers the position.

Settings
    drop      nominal share of the map that is hidden, in [0, 0.9]: the mean over many draws, not a limit
    size      side of a block in positions (of the map, not the image); one larger than the map hides what it reaches
    schedule  `constant`, or `linear`: `drop` grows from 0 over training (the paper found that this helps)
    at        `features` (the objective's cut), a layer's name, or `image`

Differs from the paper: gamma is solved for exactly. The paper's gamma = drop / size^2 * (h w) / ((h - size + 1) (w -
size + 1)) counts overlapping blocks twice and hides less than asked where drop is large. Centres lie on all positions
with blocks clipped, instead of only where the whole block fits, so the border is hidden as well. The mask is each
image's own, and so is the scale; the paper scales over the batch. All channels share the mask (the paper: one each, or
shared).

When it does not help: from the first epoch at full strength (hence `linear`), and where little training is done:
published gains are from long runs on ImageNet.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.core.batch import Batch
from overfocus.core.key import Key
from overfocus.core.processor import by_hand
from overfocus.regularizers.regularizer import (
    FEATURES,
    SettingError,
    Transform,
    check_choice,
    check_range,
    map_size,
)

_KNOTS = 65


@dataclass(frozen=True)
class DropBlock(Transform):
    """Hide blocks of a feature map."""

    filling = "mean"
    drop: float = 0.1
    size: int = 3
    schedule: Literal["constant", "linear"] = "constant"
    at: str = FEATURES

    def __post_init__(self) -> None:
        check_range(self, "drop", 0, 0.9)
        check_range(self, "size", 1, 10_000)
        if self.size != int(self.size):
            raise SettingError(f"dropblock: size={self.size!r} must be a whole number of positions")
        check_choice(self, "schedule", ("constant", "linear"))

    def act(self, batch: Batch, key: Key) -> Batch:
        """Hide blocks of images [B, C, H, W] or feature maps [B, C, h, w]."""
        height, width = map_size(self, batch.values)
        uniform = key.uniform(len(batch), height * width).reshape(-1, height, width)
        hidden = blocks(uniform < self._centre_rate((height, width), key), int(self.size))
        dropped = hidden.mean(dim=(1, 2), dtype=torch.float32)
        result = replace(batch, values=dropblock(batch.values, ~hidden, 1 - dropped))
        return result.noting(dropblock_dropped=dropped, dropblock_rate=(dropped > 0).float())

    def _centre_rate(self, map_size: tuple[int, int], key: Key) -> float | Tensor:
        """Return gamma: a number, or a tensor [1] where it depends on how much of training is done."""
        if not self.scheduled:
            return _constant_rate(self.drop, int(self.size), map_size)
        table = _rate_table(self.drop, int(self.size), map_size, key.words.device)
        progress = torch.as_tensor(key.progress, dtype=torch.float32, device=table.device)
        position = progress.clamp(0, 1) * (_KNOTS - 1)
        below = position.long().clamp(max=_KNOTS - 2).reshape(1)
        return torch.lerp(table[below], table[below + 1], position - below)


def dropblock(values: Tensor, kept: Tensor, share: Tensor) -> Tensor:
    """Zero the positions of `values` [B, C, h, w] that are not `kept` [B, h, w]; divide the rest by the kept `share`
    [B].
    """
    least = 0.5 / kept[0].numel()  # a map that is hidden whole has no rest to scale
    mask = kept / share.clamp(min=least)[:, None, None]
    return values * mask.to(values.dtype)[:, None]


def blocks(centres: Tensor, size: int) -> Tensor:
    """Return what the blocks of size x size around `centres` [B, h, w] cover, clipped at the border: [B, h, w] bool.

    As everywhere here, an even block lies half a position to the left: it begins at centre - size // 2.
    """
    if by_hand(centres):
        return torch.from_numpy(_blocks_by_numpy(centres.numpy(), size))
    height, width = centres.shape[1:]
    # The pool reads from position - size // 2 on. For an even size that is one too early, and makes a row too many.
    reached = F.max_pool2d(centres[:, None].float(), size, stride=1, padding=size // 2)
    return reached[:, 0, -height:, -width:] > 0


def _blocks_by_numpy(centres: np.ndarray, size: int) -> np.ndarray:
    """Do the same on the processor, where a pool looks at size^2 floats for each position. Here every position takes in
    the one that lies 1 before, then 2, then 4, ..., along either axis.
    """
    height, width = centres.shape[1:]
    before, after = (min(reach, max(height, width)) for reach in (size // 2, size - 1 - size // 2))
    covered = np.zeros((len(centres), height + before, width + before), dtype=bool)
    covered[:, :height, :width] = centres
    for along in (covered, covered.swapaxes(1, 2)):
        reach = 1
        while reach < before + 1 + after:
            step = min(reach, before + 1 + after - reach)
            along[:, step:] |= along[:, :-step]
            reach += step
    return covered[:, before:, before:]


@lru_cache(maxsize=256)
def centre_rate(drop: float, size: int, map_size: tuple[int, int]) -> float:
    """Return gamma, the probability of a centre that hides the share `drop` of a map (h, w) on average.

    With u = -log(1 - gamma) the kept share is the mean of exp(-u n), which is convex and falling, so that Newton's
    steps from u = 0 rise to the root.
    """
    down, across = (_reach(side, size) for side in map_size)
    covers = Counter[int]()
    for (n, rows), (m, columns) in ((a, b) for a in down.items() for b in across.items()):
        covers[n * m] += rows * columns
    positions, u = math.prod(map_size), 0.0
    for _ in range(50):
        kept = {n: count / positions * math.exp(-u * n) for n, count in covers.items()}
        step = (sum(kept.values()) - (1 - drop)) / sum(n * share for n, share in kept.items())
        u += step
        if step < 1e-12:
            break
    return -math.expm1(-u)


def _reach(side: int, size: int) -> Counter[int]:
    """Count, along one side, the positions that so many centres cover: {centres: positions}."""
    before = size // 2  # a block begins this far before its centre
    return Counter(min(side - 1, i + before) - max(0, i + before - size + 1) + 1 for i in range(side))


@torch.compiler.assume_constant_result
def _constant_rate(drop: float, size: int, map_size: tuple[int, int]) -> float:
    return centre_rate(drop, size, map_size)


@torch.compiler.assume_constant_result
def _rate_table(drop: float, size: int, map_size: tuple[int, int], device: torch.device) -> Tensor:
    return _rates(drop, size, map_size, device)


@lru_cache(maxsize=64)
def _rates(drop: float, size: int, map_size: tuple[int, int], device: torch.device) -> Tensor:
    """Tabulate gamma from drop 0 to `drop`, once for each device: a copy in every step would wait for it."""
    rates = [centre_rate(drop * knot / (_KNOTS - 1), size, map_size) for knot in range(_KNOTS)]
    return torch.tensor(rates, device=device)
