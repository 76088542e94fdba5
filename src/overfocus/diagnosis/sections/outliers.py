"""Is it unsure where it should be? Confidence on images of no class at all, and on those of a second data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.noise import NOISES, noise
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Finding, OnProgress, Section
from overfocus.metrics.ood import ood_scores
from overfocus.metrics.score import Metric, Score

NAMES = ("auroc", "tnr_at_95", "detection_accuracy")


@dataclass(frozen=True)
class Outliers(Section):
    """AUROC, TNR at 95 % TPR and detection accuracy of the largest softmax against images of no known class."""

    name: ClassVar[str] = "outliers"
    title: ClassVar[str] = "Out of distribution"
    question: ClassVar[str] = "Is it unsure where it should be?"
    order: ClassVar[int] = 100
    passes: ClassVar[int] = 6
    needs: ClassVar[str] = "1 or 3 channels"
    images: int = 250
    """At most this many of each kind."""
    other: Sample | None = field(default=None, repr=False, compare=False)
    """Images of other classes, at the size of the model's."""
    other_name: str = "other"

    def lacking(self, sample: Sample) -> str:
        """Need pictures: grey or RGB."""
        return "" if sample.channels in (1, 3) else f"the images have {sample.channels} channels and not 1 or 3"

    def settings(self) -> dict:
        """Return what JSON can hold."""
        return {"images": self.images, "other_name": self.other_name if self.other is not None else ""}

    def price(self, sample: Sample) -> int:
        """Count each kind of noise, and the images of the second data set."""
        return len(NOISES) * self.count(sample) + (0 if self.other is None else self.count(self.other))

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return outliers/KIND [n]: the largest softmax on each image."""
        rows = sample.some(self.images, evidence.seed)
        sure: dict[str, list[Tensor]] = {}
        if self.other is not None:
            some = self.other.some(self.images, evidence.seed)
            name = f"{self.other_name} (data)" if self.other_name in NOISES else self.other_name
            sure[name] = [_largest(classifier, each.pixels) for each in self.other.batches(some)]
        sure |= {name: [] for name in NOISES}
        for portion in sample.portions(rows, self.title, on_progress):
            key = evidence.key("outliers", portion.rows, classifier.device)
            pixels = portion.pixels.to(classifier.device)
            for name in NOISES:
                sure[name].append(_largest(classifier, noise(name, pixels, key)))
        return {f"outliers/{name}": torch.cat(values).cpu().numpy() for name, values in sure.items()}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the numbers against each kind."""
        inside = evidence.logits.softmax(dim=1).amax(dim=1)
        kinds = evidence.below("outliers")
        found = {kind: ood_scores(inside, evidence.tensor(f"outliers/{kind}"), seed=evidence.seed) for kind in kinds}
        scores = {f"{kind}_{name}": _of_kind(found[kind][name], kind) for name in NAMES for kind in kinds}
        more = "" if set(kinds) - set(NOISES) else "; a second data set (--ood) says more"
        notes = (f"Noise is the easiest kind{more}. The score is the largest softmax.",)
        return self.found(_sentence, {}, evidence.seed, scores, notes=notes)


def _of_kind(score: Score, kind: str) -> Score:
    metric = score.metric
    return replace(score, metric=Metric(f"{metric.title}, {kind}", metric.formula, metric.better))


def _largest(classifier: Classifier, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return classifier(pixels.to(classifier.device)).softmax(dim=1).amax(dim=1)


def _sentence(scores: Mapping[str, Score]) -> str:
    areas = {name.removesuffix("_auroc"): score for name, score in scores.items() if name.endswith("_auroc")}
    answered = {name: score for name, score in areas.items() if score.answered}
    if not answered:
        return "There is no answer."
    worst = min(answered, key=lambda name: answered[name].value)
    fooled = [name for name, score in answered.items() if score.value < 0.5]
    more = f" On {', '.join(fooled)} it is surer than on real images." if fooled else ""
    return (
        f"By its confidence it separates real images from images of no class with an AUROC of {answered[worst]:.2f} "
        f"on the hardest kind ({worst}), where chance is 0.5.{more}"
    )
