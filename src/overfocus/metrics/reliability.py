"""Calibration of a stream of predictions in constant memory, and the reliability diagram.

Batch after batch is added to sums: in the bins of the diagram, and in 10,000 cells of confidence, 320 kB together
whatever the number of images. Means and the ECE are exact. What needs the order of the confidences is exact but for the
order within a cell. With f the share of images in the fullest cell, the equal-mass error is off by at most
(bins - 1) f, and AURC by at most f + f log(1/f) / 4; the note of each score says f, and real error is far smaller.
Cells are even in confidence - log(1 - confidence) / 32, not in confidence: a trained network crowds just below 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.binning import BINS, Groups, Placed, Tables, equal_width, image_rows
from overfocus.metrics.calibration import METRICS, as_scores
from overfocus.metrics.confidence import Predictions, infinite, left_out_note
from overfocus.metrics.score import Metric, Score

CELLS = 10_000
DOUBT = 32.0
"""-log(1 - confidence) of the last cell: float64 softmax tells nothing apart beyond it."""
DRAWS = 100
_MEANS = Predictions(*[torch.zeros(0)] * 4).means()


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram: [bins] float64 each; NaN in a bin without images."""

    count: Tensor
    confidence: Tensor
    """Mean confidence in the bin."""
    accuracy: Tensor
    """Mean hit in the bin: equal to the confidence where the model is calibrated."""
    edges: Tensor
    """[bins + 1]; a bin holds its right edge."""

    @staticmethod
    def of(groups: Groups) -> Diagram:
        """Read the diagram off the sums in equal-width bins."""
        count, confidence, hit, _ = groups.sums.unbind(1)
        edges = torch.linspace(0, 1, len(count) + 1, dtype=torch.float64)
        return Diagram(count.clone(), confidence / count, hit / count, edges)


def diagram(confidence: Tensor, hit: Tensor, bins: int = BINS) -> Diagram:
    """Return the reliability diagram of `confidence` [N] and `hit` [N], neither with NaN."""
    return Diagram.of(Placed.of(confidence, hit, bins).tables().bins)


class Calibration:
    """Sums of predictions, from which `compute` reads the scores of `confidence.scores`."""

    def __init__(self, bins: int = BINS, *, probabilities: bool = False, cells: int = CELLS) -> None:
        self.probabilities = probabilities
        self.state = {
            "bins": torch.zeros(bins, 4, dtype=torch.float64),
            "ranks": torch.zeros(cells, 4, dtype=torch.float64),
            "means": torch.zeros(len(_MEANS), 2, dtype=torch.float64),
            "images": torch.zeros(3, dtype=torch.float64),
        }
        """Sums only, so adding two states, or `all_reduce` of each tensor, is `merge`. "images" counts those with an
        answer, those without, and those of infinite NLL."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: `logits` [N, K] (or probabilities) and `labels` [N] or [N, K]; errors as `Predictions.of`."""
        every = Predictions.of(logits, labels, probabilities=self.probabilities)
        kept = every.answered()
        endless = kept.nll.isinf()
        values = [value.where(~value.isinf(), 0.0) for _, value in kept.means().values()]
        cell = _cell(kept.confidence, len(self.state["ranks"]))
        bins = equal_width(kept.confidence, len(self.state["bins"]))
        images = image_rows(kept.confidence, kept.hit)
        self.state["bins"] += Groups.tally(bins, len(self.state["bins"]), images).sums
        self.state["ranks"] += Groups.tally(cell, len(self.state["ranks"]), images).sums
        self.state["means"] += torch.stack([torch.stack((v.sum(), v.square().sum())) for v in values])
        self.state["images"] += torch.tensor([len(kept), len(every) - len(kept), int(endless.sum())])

    def merge(self, other: Calibration) -> Calibration:
        """Return the sums of both; neither is changed. Raises OverfocusError where they count in other groups."""
        sizes = [(len(each.state["bins"]), len(each.state["ranks"]), each.probabilities) for each in (self, other)]
        if sizes[0] != sizes[1]:
            raise OverfocusError(f"merging (bins, cells, probabilities) {sizes[0]} with {sizes[1]}; make them equal")
        both = Calibration(sizes[0][0], probabilities=self.probabilities, cells=sizes[0][1])
        both.state = {name: value + other.state[name] for name, value in self.state.items()}
        return both

    def diagram(self) -> Diagram:
        """Return the reliability diagram so far."""
        return Diagram.of(Groups(self.state["bins"]))

    def compute(self, seed: int = 0) -> dict[str, Score]:
        """Return the scores so far, named as by `confidence.scores`; the state stays.

        Intervals of means are normal; the others are from resampled groups, a Poisson bootstrap.
        """
        count, left_out, endless = (int(each) for each in self.state["images"])
        note = left_out_note(left_out)
        sums = dict(zip(_MEANS, self.state["means"].tolist(), strict=True))
        found = {name: _mean(metric, sums[name], count, note) for name, (metric, _) in _MEANS.items()}
        if endless:
            found["nll"] = infinite(found["nll"].metric, count, endless)
        return found | self._binned(count, seed, note)

    def _binned(self, count: int, seed: int, note: str) -> dict[str, Score]:
        tables = Tables(Groups(self.state["bins"]), Groups(self.state["ranks"]))
        fullest = float(tables.ranks.sums[:, 0].max()) / max(count, 1)
        cells = f"from cells of confidence, the fullest with {fullest:.2%} of the images" if count else ""
        notes = dict.fromkeys(METRICS, "; ".join(filter(None, (note, cells)))) | {"ece": note}
        return as_scores(tables, _resamples(tables, seed), notes)


def _cell(confidence: Tensor, cells: int) -> Tensor:
    """Return the cell of each `confidence` [N]: [N] int64, ascending."""
    sure = confidence.clamp(0, 1)
    doubt = -torch.log1p(-sure).clamp(min=-DOUBT) / DOUBT
    return ((sure + doubt) / 2 * cells).clamp(max=cells - 1).long()


def _mean(metric: Metric, sums: list[float], count: int, note: str) -> Score:
    if not count:
        return Score(metric, nan, note=note or "no image has an answer")
    value = sums[0] / count
    if count < 2:
        return Score(metric, value, n=count, note=note)
    half = 1.959964 * sqrt(max(sums[1] / count - value**2, 0.0) / (count - 1))
    return Score(metric, value, value - half, value + half, count, note)


def _resamples(tables: Tables, seed: int) -> Iterator[Tables]:
    """Yield DRAWS resamples of the groups of `tables`."""
    source = np.random.Generator(np.random.Philox(seed))
    ranks = tables.ranks.occupied()
    for _ in range(DRAWS):
        yield Tables(_resample(tables.bins, source), _resample(ranks, source))


def _resample(groups: Groups, source: np.random.Generator) -> Groups:
    """Draw images a group from Poisson, and the sum of their gaps from the normal law of such a sum."""
    sums = groups.sums.numpy()
    mean = sums / np.maximum(sums[:, :1], 1)
    gap = mean[:, 1] - mean[:, 2]
    count = source.poisson(sums[:, 0]).astype(np.float64)
    noise = np.sqrt(count * np.clip(mean[:, 3] - gap**2, 0, None)) * source.standard_normal(len(count))
    drawn = count[:, None] * mean
    drawn[:, 2] = np.clip(drawn[:, 2] + noise, 0, count)
    return Groups(torch.from_numpy(drawn))
