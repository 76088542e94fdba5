"""What does an attack cost? FGSM always beside PGD, noise of the same size, and attacks kept to where the model looks.

Attacks act on pixels in [0, 1]; the model normalises them itself. An attack on the salient half of the pixels and one
on the other half may change as many pixels by as much, so their difference says whether the model is weak where it
looks. An image is right under an attack if it is right under all that were run within the same limits.

Some images that stand under PGD are attacked in other ways: where those succeed, the gradient misleads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks.adaptive import AdaptivePGD, followed
from overfocus.diagnosis.attacks.attack import assess, named, predicted
from overfocus.diagnosis.attacks.gradient_masking import (
    NOT_TRIED,
    MaskingProbe,
    auto_attack,
    disagreements,
    flags,
    probe,
)
from overfocus.diagnosis.attacks.suite import ATTACKS, CHECKED, CHECKS
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.hiding_orders import salient_first
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Finding, Table, scattered
from overfocus.diagnosis.staged import Staged, Tick
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
EARLIER = {"pgd_2": "PGD-10, 2/255", "pgd_8": "PGD-10, 8/255", "pgd_l2": "PGD-10, L2 0.5"}
"""What these were in evidence of the version before, which says nothing of their progress."""
REGIONAL = AdaptivePGD(2 / 255)
WITHIN = {"pgd_2": ("salient", "other"), "pgd_8": ("noise", "fgsm", "pgd_2")}
"""Attack -> those that keep within its limits, in an order in which each can be counted once."""
CHECK_TITLES = {
    "transfer": "PGD on a smoothed copy, 8/255",
    "square": "Square Attack, 8/255, 300 queries",
    "unbounded": "PGD without a limit",
}


@dataclass(frozen=True)
class Robustness(Staged):
    """Accuracy under attack, with signs that an attack failed."""

    name: ClassVar[str] = "robustness"
    title: ClassVar[str] = "Attacks"
    question: ClassVar[str] = "How small a change of the pixels breaks it, and where?"
    order: ClassVar[int] = 60
    passes: ClassVar[int] = 400
    headline: ClassVar[tuple[str, ...]] = ("pgd_2", "pgd_8", "fgsm", "clean", "salient", "other")
    version: ClassVar[int] = 2  # 1: ten steps of PGD
    needs: ClassVar[str] = "1 or 3 channels"
    images: int = 64
    """At most this many: PGD needs passes forward and back until an image falls or its loss stops rising."""
    auto: bool = False
    """Also AutoAttack (8/255), where its package is installed; far slower."""
    checked: int = 32
    """About this many of those that stand under PGD at 8/255, some of each batch, are attacked in other ways."""

    def lacking(self, sample: Sample) -> str:
        """Need pictures: grey or RGB."""
        return "" if sample.channels in (1, 3) else f"the images have {sample.channels} channels and not 1 or 3"

    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Return predicted/ATTACK, rising/ATTACK, check/CHECK, unsteady, blind and probabilities, all [B]."""
        share = self.checked / max(self.count(sample), 1)
        pixels, labels = portion.pixels.to(classifier.device), portion.labels.to(classifier.device)
        key = evidence.key("robustness", portion.rows, classifier.device)
        maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
        noise = key.fold_in("ties").uniform(len(maps), maps[0].numel())
        salient = (salient_first(maps, noise) < noise.shape[1] // 2).view(-1, 1, *sample.size)
        tried = {name: (attack, None) for name, attack in ATTACKS.items()}
        tried |= {"salient": (REGIONAL, salient), "other": (REGIONAL, ~salient)}
        found, rising = {}, {}
        for name, (attack, region) in tried.items():
            attacked = followed(attack, classifier, pixels, labels, key, region)
            found[name], rising[name] = predicted(classifier, attacked.pixels), attacked.rising
            tick(len(found) / (len(tried) + 1))
        if self.auto:
            found["auto"] = predicted(classifier, auto_attack(classifier, pixels, labels, evidence.seed))
        seen = probe(classifier, pixels, labels)
        some = _some(found[CHECKED] == labels, ceil(share * len(labels)))
        checks = _checked(classifier, pixels, labels, key, some)
        probabilities = torch.full((len(labels),), seen.probabilities)
        return {
            **{f"predicted/{name}": values for name, values in found.items()},
            **{f"rising/{name}": values for name, values in rising.items()},
            **{f"check/{name}": values for name, values in checks.items()},
            "unsteady": seen.unsteady, "blind": seen.blind, "probabilities": probabilities,
        }  # fmt: skip

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute accuracy under each attack, and the flags."""
        rows, count = evidence.tensor("robustness/rows").long(), len(evidence.labels)
        labels, clean = evidence.labels[rows], named(evidence.logits[rows])
        found, rising, checks = (_below(evidence, f"robustness/{part}") for part in ("predicted", "rising", "check"))
        right = {name: torch.where(each < 0, torch.nan, (each == labels).double()) for name, each in found.items()}
        titles = TITLES if rising else {**TITLES, **EARLIER}
        if rising:
            right = _worst(right)
        per_image = {"clean": (CLEAN, scattered((clean == labels).double(), rows, count))}
        for name, values in right.items():
            metric = Metric(f"accuracy, {titles[name]}", "share still right", "higher")
            per_image[name] = (metric, scattered(values, rows, count))
        signs = flags(labels, clean, {name: found[name] for name in ATTACKS}, ATTACKS, _seen(evidence))
        notes = (
            *signs,
            *disagreements(labels, checks, rising),
            "A network that was not trained against attacks is expected near 0 % under PGD at 8/255. What PGD leaves "
            "is an upper bound; AutoAttack is the standard check.",
        )
        tables = (_table(labels, checks),) if checks else ()
        return self.found(_sentence, per_image, evidence.seed, notes=notes, rows=rows, tables=tables)


def _below(evidence: Evidence, prefix: str) -> dict[str, Tensor]:
    return {name: evidence.tensor(f"{prefix}/{name}") for name in evidence.below(prefix)}


def _worst(right: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return whether images [n] are right under each attack and under those that keep within its limits."""
    worst = dict(right)
    for name, weaker in WITHIN.items():
        for each in weaker:
            worst[name] = torch.minimum(worst[name], worst[each])
    return worst


def _some(stands: Tensor, most: int) -> Tensor:
    """Return the places of at most `most` of those that stand [B] bool, evenly spaced."""
    places = stands.nonzero()[:, 0]
    if len(places) <= most:
        return places
    return places[torch.linspace(0, len(places) - 1, most).long()]


def _checked(classifier: Classifier, pixels: Tensor, labels: Tensor, key: Key, some: Tensor) -> dict[str, Tensor]:
    """Return the classes [B] int64 that the images at `some` places are given under each check."""
    found = {name: torch.full_like(labels, NOT_TRIED) for name in CHECKS}
    if len(some):
        rows = key.first_row
        key = key.at(rows[some.to(rows.device)] if isinstance(rows, Tensor) else rows + some)
        for name, classes in assess(classifier, pixels[some], labels[some], CHECKS, key).items():
            found[name][some] = classes
    return found


def _table(labels: Tensor, checks: Mapping[str, Tensor]) -> Table:
    rows = []
    for name, classes in checks.items():
        tried = classes != NOT_TRIED
        rows.append((CHECK_TITLES[name], str(int(tried.sum())), str(int((tried & (classes != labels)).sum()))))
    return Table("Images that stand under PGD, 8/255, attacked in other ways", ("attack", "tried", "fell"), tuple(rows))


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
