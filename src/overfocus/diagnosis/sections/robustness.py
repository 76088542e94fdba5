"""What does an attack cost? FGSM always beside PGD, noise of the same size, and attacks kept to where the model looks.

Attacks act on pixels in [0, 1]; the model normalises them itself. An attack on the salient half of the pixels and one
on the other half may change as many pixels by as much, so their difference says whether the model is weak where it
looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.attacks.attack import ATTACKS, PGD, assess, named, predicted
from overfocus.diagnosis.attacks.gradient_masking import MaskingProbe, auto_attack, flags, probe
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence, joined
from overfocus.diagnosis.hiding_orders import salient_first
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Finding, OnProgress, Section, scattered
from overfocus.diagnosis.wording import percent
from overfocus.metrics.score import Metric, Score

CLEAN = Metric("accuracy, no attack", "share still right", "higher")
TITLES = {
    "noise": "random signs, 8/255",
    "fgsm": "FGSM, 8/255",
    "pgd_2": "PGD, 2/255",
    "pgd_8": "PGD, 8/255",
    "pgd_l2": "PGD, L2 0.5",
    "auto": "AutoAttack, 8/255",
    "salient": "PGD 2/255 on the salient half",
    "other": "PGD 2/255 on the other half",
}
REGIONAL = PGD(2 / 255, 0.5 / 255, stop=True)


@dataclass(frozen=True)
class Robustness(Section):
    """Accuracy under attack, with signs that an attack failed."""

    name: ClassVar[str] = "robustness"
    title: ClassVar[str] = "Attacks"
    question: ClassVar[str] = "How small a change of the pixels breaks it, and where?"
    order: ClassVar[int] = 60
    passes: ClassVar[int] = 60
    headline: ClassVar[tuple[str, ...]] = ("pgd_2", "pgd_8", "fgsm", "clean", "salient", "other")
    needs: ClassVar[str] = "1 or 3 channels"
    images: int = 250
    """At most this many: PGD needs a pass forward and back for each of its 10 steps."""
    auto: bool = False
    """Also AutoAttack (8/255), where its package is installed; far slower."""

    def lacking(self, sample: Sample) -> str:
        """Need pictures: grey or RGB."""
        return "" if sample.channels in (1, 3) else f"the images have {sample.channels} channels and not 1 or 3"

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return robustness/predicted/ATTACK [n], robustness/unsteady and blind [n], and robustness/rows [n]."""
        rows = sample.some(self.images, evidence.seed)
        portions = sample.portions(rows, self.title, on_progress)
        parts = (self._portion(classifier, sample, evidence, portion) for portion in portions)
        return {"robustness/rows": rows.numpy(), **joined(parts, "robustness/")}

    def _portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion
    ) -> dict[str, Tensor]:
        pixels, labels = portion.pixels.to(classifier.device), portion.labels.to(classifier.device)
        key = evidence.key("robustness", portion.rows, classifier.device)
        found = assess(classifier, pixels, labels, ATTACKS, key)
        maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
        noise = key.fold_in("ties").uniform(len(maps), maps[0].numel())
        salient = salient_first(maps, noise) < noise.shape[1] // 2
        for name, region in (("salient", salient), ("other", ~salient)):
            mask = region.view(-1, 1, *sample.size)
            found |= assess(classifier, pixels, labels, {name: REGIONAL}, key, mask)
        if self.auto:
            found["auto"] = predicted(classifier, auto_attack(classifier, pixels, labels, evidence.seed))
        seen = probe(classifier, pixels, labels)
        probabilities = torch.full((len(labels),), seen.probabilities)
        return {
            **{f"predicted/{name}": values for name, values in found.items()},
            "unsteady": seen.unsteady, "blind": seen.blind, "probabilities": probabilities,
        }  # fmt: skip

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute accuracy under each attack, and the flags."""
        rows, count = evidence.tensor("robustness/rows").long(), len(evidence.labels)
        labels, clean = evidence.labels[rows], named(evidence.logits[rows])
        found = {
            name: evidence.tensor(f"robustness/predicted/{name}") for name in evidence.below("robustness/predicted")
        }
        per_image = {"clean": (CLEAN, scattered((clean == labels).double(), rows, count))}
        for name, classes in found.items():
            right = torch.where(classes < 0, torch.nan, (classes == labels).double())
            metric = Metric(f"accuracy, {TITLES[name]}", "share still right", "higher")
            per_image[name] = (metric, scattered(right, rows, count))
        seen = _seen(evidence)
        signs = flags(labels, clean, {name: found[name] for name in ATTACKS}, ATTACKS, seen)
        notes = (
            *signs,
            "A network that was not trained against attacks is expected near 0 % under PGD at 8/255. What PGD leaves "
            "is an upper bound; AutoAttack is the standard check.",
        )
        return self.found(_sentence, per_image, evidence.seed, notes=notes, rows=rows)


def _seen(evidence: Evidence) -> MaskingProbe:
    names = ("unsteady", "blind", "probabilities")
    unsteady, blind, probabilities = (evidence.tensor(f"robustness/{name}") for name in names)
    return MaskingProbe(unsteady, blind, bool(probabilities.any()))


def _sentence(scores: Mapping[str, Score]) -> str:
    clean, fgsm, pgd, mild = (scores[name] for name in ("clean", "fgsm", "pgd_8", "pgd_2"))
    salient, other = scores["salient"], scores["other"]
    where = "where it looks" if salient.value < other.value else "where it does not look"
    apart = salient.high < other.low or other.high < salient.low
    weak = f"it is weaker {where}" if apart else "the two are not shown to differ on this many images"
    return (
        f"Of {percent(clean.value)} right without an attack, FGSM (8/255) leaves {percent(fgsm.value)}, PGD (8/255) "
        f"{percent(pgd.value)} and PGD (2/255) {percent(mild.value)}. Kept to the salient half of the pixels, PGD "
        f"(2/255) leaves {salient:.2f}, kept to the other half {other:.2f}: {weak} (n = {clean.n:,})."
    )
