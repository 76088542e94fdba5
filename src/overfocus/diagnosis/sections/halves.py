"""Does half of the object suffice? Accuracy with the picture hidden on one side of a line through its object.

The line runs at a random angle through the centre of what masks or boxes mark, through the picture's where nothing is
marked; then the other side is hidden. No heat map is asked, so no method has its own way of looking measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence, joined
from overfocus.diagnosis.fillings import FILLINGS, fillings, in_words
from overfocus.diagnosis.half_planes import centroids, half_planes
from overfocus.diagnosis.mix import partners
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Finding, OnProgress, Section, Table, scattered
from overfocus.diagnosis.wording import percent
from overfocus.metrics.halves import half_scores
from overfocus.metrics.hiding import NOTHING_TO_LOSE
from overfocus.metrics.score import Score, mean_score

BATCH = 64


@dataclass(frozen=True)
class Halves(Section):
    """Accuracy with either half of the object hidden, by several fillings."""

    name: ClassVar[str] = "halves"
    title: ClassVar[str] = "Half of the object"
    question: ClassVar[str] = "Does it know the object from either half?"
    order: ClassVar[int] = 5
    passes: ClassVar[int] = 8
    headline: ClassVar[tuple[str, ...]] = ("half_new", "whole", "kept", "half_mean", "half_patch", "agreement")
    images: int = 500
    """At most this many: each is shown in 8 ways."""

    def price(self, sample: Sample) -> int:
        """Count both halves by each filling; where all images are of one class, there is no other picture to show."""
        several = len(sample.labels[sample.some(self.images, 0)].unique()) > 1
        return 2 * (len(FILLINGS) - (not several)) * self.count(sample)

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return halves/: rows [n], answers/FILLING [2, n] (the class named by one half and by the other), marked [n]
        (whether it is known where the object is) and share [n] (of the object in the one half, NaN if not known).
        """
        rows = sample.some(self.images, evidence.seed)
        pixels = torch.cat([portion.pixels.to(classifier.device) for portion in sample.batches(rows)])
        several = len(sample.labels[rows].unique()) > 1
        places = partners(sample.labels[rows], Key.seeded(evidence.seed).fold_in("halves")) if several else None
        found = []
        for some in torch.arange(len(rows)).split(BATCH):
            donors = None if places is None else pixels[places[some]]
            found.append(_answers(classifier, pixels[some], donors, evidence, rows[some]))
            on_progress(self.title, int(some[-1]) + 1, len(rows))
        return {"halves/rows": rows.numpy(), **joined(found, "halves/", dim=-1)}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute accuracy by filling and half, and what is kept of what was right."""
        rows, count = evidence.tensor("halves/rows").long(), len(evidence.labels)
        labels, whole = evidence.labels[rows], named(evidence.logits[rows])
        answers = {fill: evidence.tensor(f"halves/answers/{fill}") for fill in evidence.below("halves/answers")}
        found = half_scores(answers, whole, labels, _trained_with(evidence) or ())
        metric, kept = found["kept"]
        reason = "" if kept.isfinite().any() else NOTHING_TO_LOSE
        scores = {"kept": mean_score(metric, kept[whole == labels], seed=evidence.seed, note=reason)}
        per_image = {name: (metric, scattered(values, rows, count)) for name, (metric, values) in found.items()}
        return self.found(
            _sentence, per_image, evidence.seed, scores, rows=rows, notes=_notes(evidence),
            tables=(_table(answers, whole, labels),),
        )  # fmt: skip


def _answers(
    classifier: Classifier, pixels: Tensor, donors: Tensor | None, evidence: Evidence, rows: Tensor
) -> dict[str, Tensor]:
    """Return what `collect` keeps of `pixels` [B, C, H, W], the images `rows` [B]."""
    objects = evidence.objects(rows)
    marked = objects.flatten(1).any(dim=1)
    height, width = evidence.size
    centres = torch.where(marked[:, None], centroids(objects), torch.tensor([width / 2, height / 2]))
    key = evidence.key("halves", rows, classifier.device)
    angles = 2 * pi * key.fold_in("angle").uniform(len(rows))[:, 0]
    one = half_planes(centres, angles.cpu(), evidence.size)
    share = (objects & one).sum(dim=(1, 2)) / objects.sum(dim=(1, 2))
    shown, answers = one[:, None].to(classifier.device), {}
    with torch.no_grad():
        for fill, instead in fillings(pixels, classifier.fill, key, donors).items():
            pictures = (torch.where(half, pixels, instead) for half in (shown, ~shown))
            answers[f"answers/{fill}"] = torch.stack([named(classifier(picture)) for picture in pictures])
    return {**answers, "marked": marked, "share": share}


def _table(answers: Mapping[str, Tensor], whole: Tensor, labels: Tensor) -> Table:
    columns = {"one_half": "one half", "other_half": "the other half", "half": "mean", "both": "each of them",
               "agreement": "named alike"}  # fmt: skip
    rows = []
    for fill, classes in answers.items():
        found = half_scores({fill: classes}, whole, labels)
        rows.append((FILLINGS[fill], *(percent(float(found[name][1].mean()), 1) for name in columns)))
    return Table(
        "Right from half of the object, by what the other half shows", ("hidden by", *columns.values()), tuple(rows)
    )


def _notes(evidence: Evidence) -> tuple[str, ...]:
    marked, share = evidence.tensor("halves/marked"), evidence.tensor("halves/share")
    by, known, rest = "masks" if evidence.below("masks") else "boxes", int(marked.sum()), int((~marked).sum())
    centres = [f"that of what the {by} mark in {known:,} pictures"] if known else []
    centres += [f"that of the picture in {rest:,}, where nothing is marked"] if rest else []
    larger = torch.maximum(share, 1 - share)[marked].mean()
    parts = f" The larger half holds {percent(float(larger))} of the marked pixels on average." if known else ""
    return (
        "All that lies on one side of a line is hidden, background included, then all on the other side. The line runs "
        f"at a random angle through a centre: {'; '.join(centres)}.{parts}",
        _familiar(_trained_with(evidence)),
    )


def _trained_with(evidence: Evidence) -> list[str] | None:
    """Return the fillings that the network was shown in training; None where that is not known."""
    return evidence.about.get("trained_with")


def _familiar(trained_with: list[str] | None) -> str:
    why = "A network is used to what it was trained with: the mean colour with Cutout, other pictures with CutMix."
    if trained_with is None:
        return f"{why} What this one was trained with is not known, so every filling counts as new to it."
    if not trained_with:
        return f"{why} This one was trained with no filling, so all are new to it."
    return (
        f"{why} This one, or one that it is compared with, was trained with {in_words(trained_with, 'and')}: the first "
        "number leaves that out."
    )


def _sentence(scores: Mapping[str, Score]) -> str:
    half, new, whole, kept = (scores[name] for name in ("half", "half_new", "whole", "kept"))
    fills = {text: scores[f"half_{fill}"].value for fill, text in FILLINGS.items() if f"half_{fill}" in scores}
    by = ", ".join(f"{percent(value)} by {text}" for text, value in fills.items())
    left = f"{percent(kept.value)} of the accuracy above chance is left" if kept.answered else kept.note
    first, how = (new, " by what is new to it") if new.answered and new.value != half.value else (half, "")
    over = f"over all of these {percent(half.value)}, and " if how else ""
    return (
        f"It is right on {percent(whole.value)} of the pictures, and on {percent(first.value)} with half of the object "
        f"hidden{how} ({first}, n = {first.n:,}; {by}): {over}{left}. Both halves are named alike in "
        f"{percent(scores['agreement'].value)}."
    )
