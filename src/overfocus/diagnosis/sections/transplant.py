"""What does a small piece carry? Pieces of images pasted into other images, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from statistics import fmean
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core import boxes
from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Finding, OnProgress, Section, Table, examples_named, scattered
from overfocus.diagnosis.wording import located, percent
from overfocus.metrics.score import Metric, Score
from overfocus.metrics.transplant import FEWEST, TAKEN, Carried, Rises, carried, log_odds, whole_of

FLAGGED = Metric(
    "classes carried by one place",
    "classes whose pieces of one place carry twice what those of any place apart from it do",
    "lower",
    "classes",
    high=float("inf"),
)
CARRIED = Metric(
    "evidence in one place",
    "mean over classes of the largest share of a class that its pieces of one place carry; never 0, as it is the "
    "largest of many",
    "lower",
    high=float("inf"),
)
FIRST = 12


@dataclass(frozen=True)
class Transplant(Section):
    """Flags classes that a mark at one place carries, by the network and no map."""

    name: ClassVar[str] = "transplant"
    title: ClassVar[str] = "What a small piece carries"
    question: ClassVar[str] = "Does a piece of one image make it see its class in another?"
    order: ClassVar[int] = 120
    passes: ClassVar[int] = 49
    headline: ClassVar[tuple[str, ...]] = ("flagged", "carried", "taken")
    by_default: ClassVar[bool] = False
    needs: ClassVar[str] = "two classes, 5 pieces a class"
    side: float = 0.25
    """Height and width of a piece, as shares of the image's."""
    steps: int = 7
    """Places along either axis, evenly from one border to the other."""
    images: int = 500
    """At most this many first images: each gets a piece at every place."""

    def lacking(self, sample: Sample) -> str:
        """Need images of two classes."""
        return "" if len(sample.labels.unique()) > 1 else "the images are all of one class"

    def price(self, sample: Sample) -> int:
        """Count a pass for each place."""
        return len(grid(sample.size, self)) * self.count(sample)

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return transplant/: places [P, 4], rows [n], donors [P, n] (the class of each image's donor), own [P, n]
        (the rise of that class) and taken [P, n] (whether it is named), both NaN where the image was named so before,
        and count, mean and variance of the rises of each class with other donors, others/NAME [P, K] each.
        """
        rows, places = _usable(evidence, sample.some(self.images, evidence.seed)), grid(sample.size, self)
        predicted, before = evidence.logits[rows].argmax(dim=1), log_odds(evidence.logits[rows])
        pixels = [portion.pixels.to(classifier.device) for portion in sample.batches(rows)] if len(rows) else []
        whole = torch.cat([torch.zeros(0, sample.channels, *sample.size, device=classifier.device), *pixels])
        key, found = Key.seeded(evidence.seed).fold_in("transplant"), []
        for number, box in enumerate(places):
            donors = _others(len(rows), key.fold_in(str(number)))
            after = _pasted(classifier, whole, donors, box)
            found.append(_risen(log_odds(after) - before, named(after), predicted, predicted[donors]))
            on_progress(self.title, number + 1, len(places))
        arrays = {f"transplant/{name}": np.stack([each[name] for each in found]) for name in found[0]}
        return {"transplant/places": places.numpy(), "transplant/rows": rows.numpy(), **arrays}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute what the pieces of each class carry, and how often a piece is named instead of the image."""
        each, rows = carriers(evidence), evidence.tensor("transplant/rows").long()
        taken = evidence.tensor("transplant/taken").double().nanmean(dim=0)
        tested, flagged = [one for one in each if one.n], [one for one in each if one.flagged]
        note = "" if tested else f"no class with {FEWEST} pieces at a place"
        scores = {
            "flagged": Score(FLAGGED, float(len(flagged)) if tested else nan, n=len(rows), note=note),
            "carried": Score(CARRIED, fmean(one.share for one in tested) if tested else nan, n=len(rows), note=note),
        }
        notes = (
            "A piece is pasted where it was. Its class's log-odds are compared with those that a piece of any other "
            "class leaves there, as a share of the log-odds between images named as the class and the rest.",
            "A flag is a suspicion: parts of objects that stand alike in all images may be flagged as well. No flag is "
            "no proof: only marks that these images bear can be found. Look at the places that are not flagged, too.",
        )
        return self.found(
            lambda scores: self._sentence(scores, flagged, tested, evidence.classes),
            {"taken": (TAKEN, scattered(taken, rows, len(evidence.labels)))}, evidence.seed, scores,
            tables=(_table(each, evidence),), notes=notes, rows=rows,
            flagged=frozenset(one.label for one in flagged),
        )  # fmt: skip

    def _sentence(
        self, scores: Mapping[str, Score], flagged: list[Carried], tested: list[Carried], classes: list[str]
    ) -> str:
        if not tested:
            return f"No class has {FEWEST} pieces at a place: too few to say anything."
        taken = (
            f"A pasted piece of {percent(self.side**2)} of the area makes it name the class of the piece in "
            f"{percent(scores['taken'].value, 1)} of the cases."
        )
        if not flagged:
            return f"{taken} None of {len(tested)} classes is carried by one place."
        names = ", ".join(repr(classes[one.label]) for one in flagged[:5])
        return (
            f"{taken} {len(flagged)} of {len(tested)} classes are carried by one place, as by a watermark: {names}. "
            "Look at the place, hide it, and diagnose again."
        )


def grid(size: tuple[int, int], section: Transplant) -> Tensor:
    """Return the places [P, 4] int64 (x0, y0, x1, y1), row by row, of an image of `size` (H, W)."""
    (top, height), (left, width) = ((_starts(side, section), max(1, round(side * section.side))) for side in size)
    return torch.tensor([[x, y, x + width, y + height] for y in top for x in left])


def carriers(evidence: Evidence) -> list[Carried]:
    """Return for each class what its pieces carry where they carry most."""
    rows = evidence.tensor("transplant/rows").long()
    odds, predicted = log_odds(evidence.logits[rows]), evidence.logits[rows].argmax(dim=1)
    classes, whole = odds.shape[1], whole_of(odds, predicted)
    own = Rises.of(evidence.tensor("transplant/own"), evidence.tensor("transplant/donors").long(), classes)
    others = Rises(*(evidence.tensor(f"transplant/others/{name}").double() for name in ("count", "mean", "variance")))
    return carried(own, others, evidence.tensor("transplant/places"), whole)


def _starts(side: int, section: Transplant) -> list[int]:
    last = side - max(1, round(side * section.side))
    return sorted({round(last * step / max(1, section.steps - 1)) for step in range(section.steps)})


def _usable(evidence: Evidence, rows: Tensor) -> Tensor:
    """Return those `rows` [n] whose logits are numbers; none where all are named alike."""
    rows = rows[evidence.logits[rows].isfinite().all(dim=1)]
    return rows if len(evidence.logits[rows].argmax(dim=1).unique()) > 1 else rows[:0]


def _others(count: int, key: Key) -> Tensor:
    """Draw another image for each of `count`: rows [n] int64."""
    ahead = (key.uniform(count, 1)[:, 0].double() * (count - 1)).long()
    return (torch.arange(count) + 1 + ahead) % max(1, count)


def _pasted(classifier: Classifier, pixels: Tensor, donors: Tensor, box: Tensor) -> Tensor:
    """Return the logits [n, K] of `pixels` [n, C, H, W] with what `donors` [n] show in `box` [4]."""
    answers = [torch.zeros(0, len(classifier.classes))]
    for some in torch.arange(len(pixels)).split(64) if len(pixels) else ():
        box_of_each = box.to(pixels.device).expand(len(some), 4)
        pasted = boxes.paste(pixels[some], pixels, donors[some].to(pixels.device), box_of_each)
        with torch.no_grad():
            answers.append(classifier(pasted).cpu())
    return torch.cat(answers)


def _risen(rises: Tensor, answers: Tensor, predicted: Tensor, donors: Tensor) -> dict[str, np.ndarray]:
    """Return what is kept of one place: `rises` [n, K], `answers` [n], classes of the images and of the donors [n]."""
    classes, same = torch.arange(rises.shape[1]), donors == predicted
    control = rises.where((classes != predicted[:, None]) & (classes != donors[:, None]), torch.nan)
    others = Rises.of(control.T.flatten()[None], classes.repeat_interleave(len(rises))[None], len(classes))
    return {
        "own": rises.gather(1, donors[:, None])[:, 0].masked_fill(same, torch.nan).float().numpy(),
        "donors": donors.int().numpy(),
        "taken": (answers == donors).float().masked_fill(same, torch.nan).numpy(),
        **{f"others/{name}": getattr(others, name)[0].float().numpy() for name in ("count", "mean", "variance")},
    }


def _table(each: list[Carried], evidence: Evidence) -> Table:
    """Return the classes, the most suspicious first."""
    height, width = evidence.size
    places = evidence.tensor("transplant/places")
    order = sorted((one for one in each if one.n), key=lambda one: (not one.flagged, -one.share))[:FIRST]
    rows, seen = [], []
    for one in order:
        x0, y0, x1, y1 = (places[one.place] / torch.tensor([width, height, width, height])).tolist()
        seen.append(examples_named(evidence, one.label, (x0, y0, x1, y1)))
        rows.append((
            evidence.classes[one.label], "suspicious" if one.flagged else "no",
            located(x0, y0, x1, y1), percent(one.share), percent(one.rival * one.share),
            f"{one.p:.3f}", str(one.n),
        ))  # fmt: skip
    heads = (
        "class", "one place?", "place, in shares of the image", "of the class in its pieces", "most apart from it",
        "p", "n",
    )  # fmt: skip
    return Table("What pieces of each class carry, where they carry most", heads, tuple(rows), tuple(seen))
