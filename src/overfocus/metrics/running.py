"""Means of metrics over any number of images, in constant memory, added up over batches and processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import NORMAL, Metric, Score

Metrics = Mapping[str, tuple[Metric, Callable[..., Tensor]]]
"""Name -> what it means, and a function of evidence that gives a value [B] for each image; `spread.ALL` is one."""


@dataclass
class Running:
    """An accumulator: `Running(spread.ALL)` takes maps, `Running(focus.ALL)` takes maps and masks."""

    metrics: Metrics
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Name -> [4] float64: images with an answer, images without, sum, sum of squares. Sums only, so `all_reduce` of
    each is `merge`.
    """

    def update(self, *evidence: Tensor) -> None:
        """Add a batch; every function is given all of `evidence`."""
        for name, (_, of) in self.metrics.items():
            values = of(*evidence).detach().double()
            kept = values[values.isfinite()]
            new = torch.stack((kept.new_tensor(len(kept)), kept.new_tensor(len(values) - len(kept)),
                               kept.sum(), kept.square().sum())).cpu()  # fmt: skip
            self.sums[name] = self.sums[name] + new if name in self.sums else new

    def merge(self, other: Running) -> Running:
        """Return the sums of both; neither is changed. Raises OverfocusError where they are of other metrics."""
        if list(self.metrics) != list(other.metrics):
            raise OverfocusError(f"running: {list(self.metrics)} and {list(other.metrics)}; merge what is of one kind")
        names = {**self.sums, **other.sums}
        zero = torch.zeros(4, dtype=torch.float64)
        return Running(self.metrics, {name: self.sums.get(name, zero) + other.sums.get(name, zero) for name in names})

    def compute(self) -> dict[str, Score]:
        """Return the mean of each metric so far with its normal 95 % interval; the sums stay."""
        return {name: _score(metric, self.sums.get(name)) for name, (metric, _) in self.metrics.items()}


def _score(metric: Metric, sums: Tensor | None) -> Score:
    count, without, total, squares = sums.tolist() if sums is not None else (0, 0, 0, 0)
    note = f"{without:.0f} images without an answer left out" if without else ""
    if not count:
        return Score(metric, nan, note=note or "no image has an answer")
    mean = total / count
    if count < 2:
        return Score(metric, mean, n=1, note=note)
    half = NORMAL * (max(0.0, squares / count - mean**2) / (count - 1)) ** 0.5
    return Score(metric, mean, mean - half, mean + half, int(count), note)
