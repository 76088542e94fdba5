"""Deletion and insertion, with the settings of RISE (1806.07421), each beside its control.

Deletion takes pixels away in the order of the map, insertion brings them back onto an image blurred as in RISE's code
(see `blurred`). What is followed is the probability of the class that was predicted at first, in 28 steps of a 28th of
the pixels, the paper's batched step at 224 pixels. The control is the same map turned over and moved to a random place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.corruptions.blur import smooth
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.hiding_orders import hidden, orders_of
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Chart, Finding, curve, scattered
from overfocus.diagnosis.staged import Staged, Tick
from overfocus.diagnosis.wording import enough
from overfocus.metrics.hiding import DELETION, DELETION_GAP, INSERTION, INSERTION_GAP, area_under
from overfocus.metrics.score import Metric, Score

KERNEL, SIGMA = 11, 5.0
"""Of RISE's blur, in pixels."""
WAYS = ("deletion", "insertion")
ORDERS = {"salient": "by the map", "blobs": "the same shape elsewhere"}


@dataclass(frozen=True)
class Deletion(Staged):
    """Areas under the deletion and insertion curves, and how far each lies from its control."""

    name: ClassVar[str] = "deletion"
    title: ClassVar[str] = "Deletion and insertion"
    question: ClassVar[str] = "How fast does its answer fall, and come back, in the order of its own map?"
    order: ClassVar[int] = 50
    reads_map: ClassVar[bool] = True
    passes: ClassVar[int] = 110
    headline: ClassVar[tuple[str, ...]] = ("deletion_gap", "insertion_gap", "deletion", "insertion")
    version: ClassVar[int] = 2  # 1: what both orders begin and end with was passed forward for each
    steps: int = 28

    def price(self, sample: Sample) -> int:
        """Count the two ways in two orders, which begin alike and end alike; what deletion begins with is known."""
        return (len(WAYS) * len(ORDERS) * (self.steps - 1) + 2) * self.count(sample)

    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Return WAY/ORDER [S, B]: the probability of the first prediction."""
        pixels = portion.pixels.to(classifier.device)
        predicted = evidence.logits[portion.rows].argmax(dim=1).to(classifier.device)[:, None]
        maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
        usable = (maps.flatten(1).sum(dim=1) > 0) & maps.flatten(1).isfinite().all(dim=1)
        orders = dict(orders_of(maps, evidence.key("hiding", portion.rows, classifier.device)))
        filled, soft = classifier.fill.expand_as(pixels), blurred(pixels, classifier.fill)
        whole = evidence.logits[portion.rows].to(classifier.device).softmax(dim=1).gather(1, predicted)[:, 0]

        def probability(pictures: Tensor) -> Tensor:
            return classifier(pictures).softmax(dim=1).gather(1, predicted)[:, 0]

        values = {}
        with torch.no_grad():
            ends = {
                "deletion": (pixels, filled, whole, probability(filled)),
                "insertion": (soft, pixels, probability(soft), whole),
            }
            for way, (start, end, first, last) in ends.items():
                for order in ORDERS:
                    between = (step / self.steps for step in range(1, self.steps))
                    steps = [probability(hidden(start, orders[order], share, end)) for share in between]
                    curve_of_each = torch.stack([first, *steps, last])
                    values[f"{way}/{order}"] = torch.where(usable, curve_of_each, torch.nan)
                    tick(len(values) / (len(WAYS) * len(ORDERS)))
        return values

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the areas and their distance to the control."""
        shares = torch.linspace(0, 1, len(evidence.arrays["deletion/deletion/salient"]))
        values = {(way, order): evidence.tensor(f"deletion/{way}/{order}") for way in WAYS for order in ORDERS}
        areas = {key: area_under(each, shares) for key, each in values.items()}
        found: dict[str, tuple[Metric, Tensor]] = {
            "deletion": (DELETION, areas["deletion", "salient"]),
            "deletion_control": (DELETION, areas["deletion", "blobs"]),
            "deletion_gap": (DELETION_GAP, areas["deletion", "blobs"] - areas["deletion", "salient"]),
            "insertion": (INSERTION, areas["insertion", "salient"]),
            "insertion_control": (INSERTION, areas["insertion", "blobs"]),
            "insertion_gap": (INSERTION_GAP, areas["insertion", "salient"] - areas["insertion", "blobs"]),
        }
        rows, count = evidence.tensor("deletion/rows").long(), len(evidence.labels)
        per_image = {name: (metric, scattered(of, rows, count)) for name, (metric, of) in found.items()}
        charts = tuple(
            Chart(
                way.capitalize(), f"share of the pixels {verb}", "probability of the first prediction",
                tuple(curve(text, shares, values[way, order], order == "blobs", evidence.seed)
                      for order, text in ORDERS.items()),
            )
            for way, verb in zip(WAYS, ("taken away", "brought back"), strict=True)
        )  # fmt: skip
        notes = (
            "These evaluate the map as much as the model: a map that points at the evidence has a low deletion and a "
            "high insertion. A blurred image is unlike any that the model was trained on.",
        )
        return self.found(_sentence, per_image, evidence.seed, charts=charts, notes=notes, rows=rows)


def _sentence(scores: Mapping[str, Score]) -> str:
    deletion, control, gap = (scores[name] for name in ("deletion", "deletion_control", "deletion_gap"))
    return (
        f"Deleting in the order of the map leaves an area of {deletion} under the probability of the first "
        f"prediction, deleting the same shape elsewhere {control}: a gap of {gap}. {enough(gap)}"
    )


def blurred(pixels: Tensor, mean: Tensor) -> Tensor:
    """Return the start of insertion, images [B, C, H, W] blurred as RISE's published code does it.

    Its kernel is a point of 11 x 11 pixels smoothed by scipy's Gaussian of sigma 5, which folds the tails back in at
    the border, so it is flatter than a Gaussian that is cut off; beyond the picture lie zeros of the normalised image,
    which are the `mean` [C, 1, 1] of the training images.
    """
    point = torch.zeros(KERNEL, KERNEL, device=pixels.device)
    point[KERNEL // 2, KERNEL // 2] = 1.0
    kernel = smooth(point, SIGMA, border="reflect").expand(pixels.shape[1], 1, -1, -1)
    return F.conv2d(pixels - mean, kernel.to(pixels), padding=KERNEL // 2, groups=pixels.shape[1]) + mean
