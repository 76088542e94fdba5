"""What a step of a method costs: operations, extra passes included, that were counted, and seconds, measured."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from overfocus.data import Dataset
from overfocus.training.experiment import Experiment
from overfocus.training.objective import Objective

WARM, TIMED = 2, 5
"""Steps that are run, and of those how many are timed."""
MIDDLE = 500
"""The step that is counted, of twice as many: where ramps and schedules act."""


@dataclass(frozen=True)
class Compute:
    """The cost of a method's training step."""

    method: str
    flops: float
    """Floating-point operations of an image's step, forward and back, those of a teacher and of extra passes through
    the head included: convolutions and matrix products, which `torch.utils.flop_counter` counts."""
    seconds: float
    """A step, in seconds: the median of a few on this machine, as busy as it is."""
    batch: int
    """Images of that step."""


def flops_of(experiment: Experiment, dataset: Dataset, device: torch.device | str = "cpu") -> float:
    """Count the operations of an image's training step, as `Compute.flops`; NaN where that cannot be done."""
    objective, images, labels = _prepared(experiment, dataset, device)
    try:
        with FlopCounterMode(display=False) as counter:
            _step(objective, images, labels)
    except (NotImplementedError, RuntimeError):
        return float("nan")
    return counter.get_total_flops() / len(images)


def compute_of(experiment: Experiment, dataset: Dataset, device: torch.device | str = "cpu") -> Compute:
    """Run a few steps of an experiment's method on its own data and return what they cost. Nothing is kept."""
    objective, images, labels = _prepared(experiment, dataset, device)
    seconds = [_step(objective, images, labels) for _ in range(WARM + TIMED)][WARM:]
    flops = flops_of(experiment, dataset, device)
    return Compute(experiment.method, flops, sorted(seconds)[TIMED // 2], len(images))


def _prepared(experiment: Experiment, dataset: Dataset, device: torch.device | str) -> tuple[Objective, Tensor, Tensor]:
    """Return an objective in the middle of its training, and a batch."""
    stream = experiment.stream(dataset, "train", device=device)
    images, labels, _ = next(iter(stream.epoch(0)))
    model = experiment.create_model(len(dataset.classes), images.shape[1]).to(device)
    objective = Objective(
        model, experiment.regularizer, at=experiment.model.at, seed=experiment.seed, steps=2 * MIDDLE
    ).to(device)
    objective.train()
    objective.step.fill_(MIDDLE)
    return objective, images, labels


def _step(objective: Objective, images: Tensor, labels: Tensor) -> float:
    start = perf_counter()
    objective(images, labels).backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = perf_counter() - start
    objective.zero_grad()
    return seconds
