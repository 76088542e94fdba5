"""What does it say between two classes? Mixes of two images, from one to the other (1905.04899, in-between classes)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.mix import KINDS, LAMBDAS, mixed, partners
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Chart, Finding, OnProgress, Section, curve, scattered
from overfocus.diagnosis.wording import percent
from overfocus.metrics.mix import either
from overfocus.metrics.score import Metric, Score

TITLES = {"mixup": "two images blended", "cutmix": "a box of one in the other"}


@dataclass(frozen=True)
class InBetween(Section):
    """Share of mixes that are named as one of their two classes."""

    name: ClassVar[str] = "in_between"
    title: ClassVar[str] = "Between two classes"
    question: ClassVar[str] = "Does it name one of the two classes when two images are mixed?"
    order: ClassVar[int] = 80
    passes: ClassVar[int] = 18
    headline: ClassVar[tuple[str, ...]] = ("mixup", "cutmix")
    needs: ClassVar[str] = "two classes"
    version: ClassVar[int] = 2  # 1: unmixed images were passed forward again
    images: int = 128
    """At most this many first images: each is mixed in 18 ways."""

    def lacking(self, sample: Sample) -> str:
        """Need images of two classes."""
        return "" if len(sample.labels.unique()) > 1 else "the images are all of one class"

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return in_between/KIND [11, n], the predicted classes at lambda 0 to 1, and the rows of both images [n]."""
        rows = sample.some(self.images, evidence.seed)
        key = Key.seeded(evidence.seed).fold_in("in_between")
        partner = rows[partners(sample.labels[rows], key)]
        pixels = torch.cat([portion.pixels.to(classifier.device) for portion in sample.batches(rows)])
        place = torch.searchsorted(rows, partner)
        unmixed = {0.0: named(evidence.logits[partner]), 1.0: named(evidence.logits[rows])}
        predicted = {kind: torch.zeros(len(LAMBDAS), len(rows), dtype=torch.int64) for kind in KINDS}
        batches = torch.arange(len(rows)).split(64)
        for done, some in enumerate(batches):
            for kind in KINDS:
                for step, share in enumerate(LAMBDAS):
                    if share in unmixed:
                        predicted[kind][step, some] = unmixed[share][some]
                        continue
                    with torch.no_grad():
                        logits = classifier(mixed(kind, pixels[some], pixels[place[some]], share))
                    predicted[kind][step, some] = named(logits).cpu()
            on_progress(self.title, done + 1, len(batches))
        arrays = {f"in_between/{kind}": values.numpy() for kind, values in predicted.items()}
        return {"in_between/rows": rows.numpy(), "in_between/partners": partner.numpy(), **arrays}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the share of either class at every lambda, and its mean over those between 0 and 1."""
        rows, count = evidence.tensor("in_between/rows").long(), len(evidence.labels)
        first, second = evidence.labels[rows], evidence.labels[evidence.tensor("in_between/partners").long()]
        hits = {
            kind: torch.stack([either(row, first, second) for row in evidence.tensor(f"in_between/{kind}")])
            for kind in KINDS
        }
        per_image = {
            kind: (
                Metric(f"either class, {TITLES[kind]}", "mean over lambda 0.1 to 0.9 of argmax in {a, b}", "higher"),
                scattered(values[1:-1].mean(dim=0), rows, count),
            )
            for kind, values in hits.items()
        }
        shares = torch.tensor(LAMBDAS)
        lines = tuple(curve(TITLES[kind], shares, values, False, evidence.seed) for kind, values in hits.items())
        chart = Chart("Named as either class", "share of the first image", "share of mixes", lines)
        notes = ("A model that was trained on such mixes has seen their like: Mixup's blends, CutMix's boxes.",)
        return self.found(_sentence, per_image, evidence.seed, charts=(chart,), notes=notes, rows=rows)


def _sentence(scores: Mapping[str, Score]) -> str:
    blend, box = scores["mixup"], scores["cutmix"]
    return (
        f"Of blends of two images it names {percent(blend.value)} as one of their two classes, of images with a box of "
        f"another {percent(box.value)} (mean over shares of 0.1 to 0.9, n = {blend.n:,})."
    )
