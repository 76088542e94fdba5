"""What does hiding cost? Accuracy as a growing share of each image is hidden, by where the model looks and by controls.

Each way of hiding is an order of the pixels; a share s hides the first s of them. So all ways hide the same number of
pixels, and their curves can be laid over one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.hiding_orders import hidden, orders_of
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Chart, Finding, OnProgress, curve, scattered
from overfocus.diagnosis.staged import Staged, Tick, evaluated
from overfocus.diagnosis.wording import enough, percent
from overfocus.metrics.hiding import (
    KEPT_AREA,
    NOTHING_TO_LOSE,
    OVERFOCUS,
    RELATIVE,
    area_under,
    overfocus,
    relative,
)
from overfocus.metrics.score import Score, mean_score

KINDS = {
    "salient": "most salient first",
    "blobs": "random blobs of the same shape",
    "pixels": "random pixels",
    "least": "least salient first",
    "centre": "centre box",
    "border": "all but a centre box",
}
"""Ways of hiding. `blobs` is the control of `salient`: the same map, turned over and moved to a random place (across
the edges), so that it hides as much in pieces of the same form. `centre` and `border` are the centre and boundary
occlusion of the CutMix paper (1905.04899, figure 4).
"""
CONTROLS = {"overfocus": "blobs", "overfocus_pixels": "pixels"}
"""Score -> what hides as much elsewhere."""
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Hiding(Staged):
    """Accuracy under hiding, and the overfocus score."""

    name: ClassVar[str] = "hiding"
    title: ClassVar[str] = "What hiding costs"
    question: ClassVar[str] = "Does it still know the object when the part that it leans on is hidden?"
    order: ClassVar[int] = 40
    reads_map: ClassVar[bool] = True
    asks_no_map: ClassVar[tuple[str, ...]] = ("area_pixels", "area_centre", "area_border")
    passes: ClassVar[int] = 60
    headline: ClassVar[tuple[str, ...]] = ("overfocus", "overfocus_relative", "area_salient", "area_blobs")
    shares: tuple[float, ...] = SHARES

    def price(self, sample: Sample) -> int:
        """Count each way and share but 0, whose answer is known."""
        return len(KINDS) * sum(share != 0 for share in self.shares) * self.count(sample)

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return hiding/shares [S] as well."""
        shares = {"hiding/shares": np.array(self.shares, np.float32)}
        return {**shares, **super().collect(classifier, sample, evidence.with_arrays(shares), on_progress)}

    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Return KIND/right [S, B]: 1 where still right, 0 where not, NaN where the image has no map."""
        maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
        orders = orders_of(maps, evidence.key("hiding", portion.rows, classifier.device))
        whole = (named(evidence.logits[portion.rows]) == sample.labels[portion.rows]).to(classifier.device)
        right = {}
        for kind, order in orders:
            right[f"{kind}/right"] = self._hide(classifier, portion, order, whole)
            tick(len(right) / len(KINDS))
        for kind in ("salient", "blobs", "least"):
            right[f"{kind}/right"][:, ~_has_mass(maps)] = torch.nan
        return right

    def _hide(self, classifier: Classifier, portion: Portion, order: Tensor, whole: Tensor) -> Tensor:
        """Return whether each image is still right with each share hidden: [S, B] float. `whole` [B] is that of 0."""
        pixels, labels = portion.pixels.to(classifier.device), portion.labels.to(classifier.device)
        with torch.no_grad():
            rows = [
                (named(classifier(hidden(pixels, order, share, classifier.fill))) == labels) if share else whole
                for share in self.shares
            ]
        return torch.stack(rows).float()

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the overfocus score, areas, and curves with intervals."""
        shares = evidence.tensor("hiding/shares")
        right = {kind: evidence.tensor(f"hiding/{kind}/right") for kind in KINDS}
        rows, count = evaluated(evidence, self.name), len(evidence.labels)
        labels, whole = evidence.labels[rows], named(evidence.logits[rows])
        alike = _alike(whole, evidence.classes)
        gaps = {name: overfocus(right["salient"], right[kind], shares) for name, kind in CONTROLS.items()}
        gaps = {name: gap.fill_(torch.nan) if alike else gap for name, gap in gaps.items()}
        lost = relative(gaps["overfocus"], whole, labels)
        found = {
            "overfocus": (OVERFOCUS, gaps["overfocus"]),
            "overfocus_relative": (RELATIVE, lost),
            "overfocus_pixels": (OVERFOCUS, gaps["overfocus_pixels"]),
            **{f"area_{kind}": (KEPT_AREA, area_under(values, shares)) for kind, values in right.items()},
        }
        per_image = {name: (metric, scattered(values, rows, count)) for name, (metric, values) in found.items()}
        reason = alike or ("" if lost.isfinite().any() else NOTHING_TO_LOSE)
        scores = {"overfocus_relative": mean_score(RELATIVE, lost[whole == labels], seed=evidence.seed, note=reason)}
        if alike:
            scores |= {name: mean_score(OVERFOCUS, gap, note=alike) for name, gap in gaps.items()}
        lines = tuple(curve(KINDS[kind], shares, right[kind], kind == "blobs", evidence.seed) for kind in KINDS)
        chart = Chart("Accuracy as more is hidden", "hidden share of the pixels", "accuracy", lines)
        notes = (
            "Hidden pixels take the mean colour that the model was normalised with. The overfocus score is the area "
            "between the curves of random blobs of the same shape and of the most salient part.",
            "It is bounded by accuracy: what is wrong at first cannot be lost. The relative score is of the pictures "
            "that were right at first, as a share of what one class for everything would lose of them.",
            "A model trained with hidden parts (Cutout, CutMix, SGDrop) is used to holes. SGDrop hides the most "
            "salient positions, as this score does, so the score favours it most: compare at equal accuracy, and read "
            "the accuracy with half of the object hidden, which asks no map.",
        )
        return self.found(
            lambda scores: _sentence(scores, shares, right), per_image, evidence.seed, scores, charts=(chart,),
            notes=notes, rows=rows,
        )  # fmt: skip


def _alike(whole: Tensor, classes: list[str]) -> str:
    """Say that all pictures are named alike, so that nothing was lost; empty where they are not."""
    first = int(whole[0])
    return f"it names every picture {classes[first]!r}" if first >= 0 and bool((whole == first).all()) else ""


def _sentence(scores: Mapping[str, Score], shares: Tensor, right: Mapping[str, Tensor]) -> str:
    fifth = int((shares - 0.2).abs().argmin())
    share = percent(float(shares[fifth]))
    cost = {kind: float(right[kind][0].nanmean() - right[kind][fifth].nanmean()) for kind in ("salient", "blobs")}
    score, lost = scores["overfocus"], scores["overfocus_relative"]
    if not score.answered:
        return f"There is no overfocus score: {score.note}."
    return (
        f"Hiding the most salient {share} of the pixels costs {percent(cost['salient'])} of accuracy, hiding random "
        f"blobs of the same shape {percent(cost['blobs'])}. Overfocus score {score}; of what there is to lose {lost}. "
        f"{enough(score)}"
    )


def _has_mass(maps: Tensor) -> Tensor:
    """Return which of `maps` [B, H, W] look anywhere: [B] bool."""
    return (maps.flatten(1).relu().sum(dim=1) > 0) & maps.flatten(1).isfinite().all(dim=1)
