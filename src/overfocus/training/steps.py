"""The steps of training: batches through the objective and back, and updates of the weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from overfocus.core.key import Key
from overfocus.data import Stream
from overfocus.training.finetune import freeze_norm
from overfocus.training.objective import Objective
from overfocus.training.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """How far training is. The tensors of `last` are still on the device, without a synchronisation."""

    epoch: int
    step: int
    steps: int
    epochs: int
    images: int
    last: dict[str, Tensor]


OnStep = Callable[[Step], None]
"""Called after every step."""


@dataclass
class Steps:
    """What an epoch takes its steps with."""

    recipe: Recipe
    stream: Stream
    """The training images."""
    objective: Objective
    module: Any
    """The objective as Fabric set it up, and compiled."""
    optimizer: Any
    fabric: Fabric
    length: int
    """Epochs of the whole training."""
    seed: int
    average: AveragedModel | None
    channels_last: bool
    on_step: OnStep

    def epoch(self, number: int) -> tuple[int, float]:
        """Run all steps of an epoch; return the images of all processes and this one's mean loss."""
        stream, seen, device = self.stream, 0, self.fabric.device
        total = torch.zeros((), device=device)
        with torch.random.fork_rng([device] if device.type != "cpu" else [], device_type=device.type):
            # For layers of the model that draw from the global state, such as its own dropout.
            torch.manual_seed(Key.seeded(self.seed, number, self.fabric.global_rank).fold_in("model").seed())
            self.module.train()
            if self.recipe.freeze_norm:
                freeze_norm(self.objective.model)
            for step, (images, labels, _) in enumerate(stream.epoch(number - 1)):
                total += self._step(number, step, images, labels)
                seen = min((step + 1) * stream.batch, len(stream.split))
                self.on_step(Step(number, step + 1, len(stream), self.length, seen, self.objective.last))
        return seen, float(total) / len(stream)

    def _step(self, number: int, step: int, images: Tensor, labels: Tensor) -> Tensor:
        """Take one step: forward, back, and an update where the accumulated batches are complete. Return the loss."""
        each, steps = self.recipe.accumulate, len(self.stream)
        last, many = (step + 1) % each == 0 or step + 1 == steps, self.fabric.world_size > 1
        with self.fabric.no_backward_sync(self.module, enabled=not last) if many else nullcontext():
            mine = self._share(step, images, labels)
            loss, weight = self.module(*mine), self._weight(step, len(mine[0]))
            self.fabric.backward(loss if weight == 1 else loss * weight)
        if last:
            updates = ceil(steps / each)
            # The middle of the update's own share of training: neither the first nor the last one has a rate of 0.
            self._update(((number - 1) * updates + step // each + 0.5) / (self.length * updates))
        return loss.detach()

    def _weight(self, step: int, rows: int) -> float:
        """Return the weight of the mean loss of `rows` images in its update, by which every image counts the same: in a
        last batch that is not full, and in processes that have one image more than others.
        """
        stream, each = self.stream, self.recipe.accumulate
        start = step // each * each * stream.batch
        stop = min(start + each * stream.batch, len(stream) * stream.batch, len(stream.split))
        return rows * self.fabric.world_size / (stop - start)

    def _update(self, done: float) -> None:
        """Update the weights when the share `done` of training is over."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.recipe.rate(done)
        if self.recipe.clip:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.objective.model)

    def _share(self, step: int, images: Tensor, labels: Tensor) -> tuple[Any, ...]:
        """Return this process's part of a batch, as the objective takes it; a batch that every process sees whole is
        mixed as in a single process.
        """
        stream = self.stream
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.fabric.world_size == 1:
            return images, labels
        mine = stream.mine(min(stream.batch, len(stream.split) - step * stream.batch))
        if not stream.shared:
            return images, labels, None, mine.start
        batch = self.objective.prepare(images, labels)
        return batch.values[mine], batch.targets.labels[mine], batch.targets.weights[mine], mine.start
