"""The moving average of the weights, which is evaluated and saved where the recipe asks for one (`recipe.ema`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Update = Callable[[list[Tensor], list[Tensor], Tensor], None]


def averaged(model: nn.Module, decay: float, warmed: bool = False) -> AveragedModel:
    """Return the moving average of `model`, buffers included, with this `decay` per update.

    warmed: update t, from 0, has at most the decay (1 + t) / (10 + t), as TensorFlow's average with `num_updates` and
    as `Objective`'s teacher. Tuning may take 100 updates; at a fixed 0.99 the weights after the first of them would
    still be 37 % of the result.
    """
    update = warmed_update(decay) if warmed else get_ema_multi_avg_fn(decay)
    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)  # type: ignore[arg-type]


def warmed_update(decay: float) -> Update:
    """Return what moves averages towards the current values, without a synchronisation; counters go all the way."""

    @torch.no_grad()
    def update(averages: list[Tensor], current: list[Tensor], done: Tensor) -> None:
        if not averages[0].is_floating_point():
            for average, value in zip(averages, current, strict=True):
                average.copy_(value)
            return
        share = 1 - ((1 + done) / (10 + done)).clamp(max=decay)
        shares = [share.to(each.dtype) for each in averages]
        torch._foreach_lerp_(averages, current, shares)  # pyright: ignore[reportPrivateImportUsage]

    return update
