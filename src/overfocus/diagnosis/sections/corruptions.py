"""What do noise, blur, weather and compression cost? The 15 x 5 common corruptions (1903.12261), made on the fly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.corruptions.corruption import CORRUPTIONS, LEAST, SEVERITIES, corrupted
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Finding, Table, scattered
from overfocus.diagnosis.staged import Staged, Tick
from overfocus.diagnosis.wording import percent
from overfocus.metrics.corruption import MCE, MEAN_ERROR, alexnet_errors, mce_score
from overfocus.metrics.score import Metric, Score

CLEAN_ERROR = Metric("error, no corruption", "share wrong", "lower", "of images")


@dataclass(frozen=True)
class CommonCorruptions(Staged):
    """Errors under each corruption and severity, and their plain mean; mCE on ImageNet at 224 pixels only."""

    name: ClassVar[str] = "corruptions"
    title: ClassVar[str] = "Common corruptions"
    question: ClassVar[str] = "What do noise, blur, weather and compression cost?"
    order: ClassVar[int] = 70
    passes: ClassVar[int] = 75
    headline: ClassVar[tuple[str, ...]] = ("mean_error", "clean_error", "mce")
    needs: ClassVar[str] = "1 or 3 channels, 8 pixels a side"

    def lacking(self, sample: Sample) -> str:
        """Need images of 8 pixels and one or three channels."""
        if min(sample.size) < LEAST or sample.channels not in (1, 3):
            return f"corruptions need images of {LEAST} pixels or more with 1 or 3 channels"
        return ""

    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Return predicted [15, 5, B]."""
        pixels, predicted = portion.pixels.to(classifier.device), []
        key = evidence.key("corruption", portion.rows, classifier.device)
        for name in CORRUPTIONS:
            with torch.no_grad():
                severities = (classifier(corrupted(name, pixels, severity, key)) for severity in SEVERITIES)
                predicted.append(torch.stack([named(logits) for logits in severities]))
            tick(len(predicted) / len(CORRUPTIONS))
        return {"predicted": torch.stack(predicted)}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the plain mean error, that of each corruption, and mCE where it means something."""
        rows, count = evidence.tensor("corruptions/rows").long(), len(evidence.labels)
        labels, clean = evidence.labels[rows], named(evidence.logits[rows])
        wrong = (evidence.tensor("corruptions/predicted") != labels).double()
        per_image = {
            "clean_error": (CLEAN_ERROR, scattered((clean != labels).double(), rows, count)),
            "mean_error": (MEAN_ERROR, scattered(wrong.mean(dim=(0, 1)), rows, count)),
        }
        for kind, name in enumerate(CORRUPTIONS):
            title = f"error, {name.replace('_', ' ')}"
            metric = Metric(title, "mean over 5 severities of the share wrong", "lower", "of images")
            per_image[name] = (metric, scattered(wrong[kind].mean(dim=0), rows, count))
        imagenet = len(evidence.classes) == 1000 and min(evidence.size) == 224
        extra = {"mce": mce_score(wrong, alexnet_errors())} if imagenet else {}
        errors = wrong.mean(dim=2)
        table = Table(
            "Error by severity", ("corruption", *(str(severity) for severity in SEVERITIES)),
            tuple((name.replace("_", " "), *(percent(float(value)) for value in row))
                  for name, row in zip(CORRUPTIONS, errors, strict=True)),
        )  # fmt: skip
        notes = (
            "Made on the fly with the published constants: figures of CIFAR-10-C and ImageNet-C are of other images.",
            f"{MCE.title} is for ImageNet at 224 pixels only; here the figure is the plain mean."
            if not imagenet
            else "Both the plain mean and mCE are given; papers on ImageNet print mCE times 100.",
        )
        return self.found(_sentence, per_image, evidence.seed, extra, tables=(table,), notes=notes, rows=rows)


def _sentence(scores: Mapping[str, Score]) -> str:
    clean, mean = scores["clean_error"], scores["mean_error"]
    kinds = sorted((scores[name].value, name.replace("_", " ")) for name in CORRUPTIONS)
    return (
        f"The mean error over 15 corruptions and 5 severities is {mean:.2f}, against {clean:.2f} without. "
        f"Worst are {kinds[-1][1]} ({percent(kinds[-1][0])}) and {kinds[-2][1]} ({percent(kinds[-2][0])}), mildest is "
        f"{kinds[0][1]} ({percent(kinds[0][0])}); n = {mean.n:,} images."
    )
