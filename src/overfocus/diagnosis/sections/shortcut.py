"""Is there a shortcut? Classes that look at one place in image after image, and the images to look at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.hiding_orders import hidden, salient_first
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import Examples, Finding, OnProgress, Section, Table, examples_named
from overfocus.diagnosis.wording import located
from overfocus.metrics.score import Metric, Score
from overfocus.metrics.shortcut import FEWEST, SUSPICION, Place, shortcuts, suspicion
from overfocus.metrics.spread import effective_area

FLAGGED = Metric(
    "classes flagged",
    "classes whose maps share a narrow place that others' do not",
    "lower",
    "classes",
    high=float("inf"),
)
FIRST = 12


@dataclass(frozen=True)
class Shortcut(Section):
    """Flags classes as a watermark would make them, and ranks images by confidence x narrowness x drop when hidden."""

    name: ClassVar[str] = "shortcut"
    title: ClassVar[str] = "Shortcuts"
    question: ClassVar[str] = "Does a class stand on one place of the picture?"
    order: ClassVar[int] = 110
    reads_map: ClassVar[bool] = True
    passes: ClassVar[int] = 1
    headline: ClassVar[tuple[str, ...]] = ("flagged", "suspicion")
    needs: ClassVar[str] = "5 images a class"
    share: float = 0.1
    """Share of the pixels, the most salient ones, that is hidden to see whether the confidence falls."""

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return shortcut/kept [N], the probability of the first prediction with the salient part hidden, and names."""
        predicted = evidence.logits.argmax(dim=1)
        kept = torch.full((len(sample),), torch.nan)
        for portion in sample.portions(None, self.title, on_progress):
            maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
            key = evidence.key("ties", portion.rows, classifier.device)
            order = salient_first(maps, key.uniform(len(maps), maps[0].numel()))
            pixels = portion.pixels.to(classifier.device)
            with torch.no_grad():
                probability = classifier(hidden(pixels, order, self.share, classifier.fill)).softmax(dim=1).cpu()
            kept[portion.rows] = probability.gather(1, predicted[portion.rows, None])[:, 0]
        return {"shortcut/kept": kept.numpy(), "shortcut/names": np.array([str(name) for name in sample.names])}

    def evaluate(self, evidence: Evidence) -> Finding:
        """Find the places of all classes, and rank the images."""
        predicted = evidence.logits.argmax(dim=1)
        places = shortcuts(evidence.tensor("maps/predicted"), predicted, seed=evidence.seed)
        flagged = [place for place in places if place.flagged]
        tested = [place for place in places if place.p == place.p]
        looked = ranked(evidence)
        count = Score(
            FLAGGED, float(len(flagged)) if tested else float("nan"), n=len(predicted),
            note="" if tested else f"no class with {FEWEST} images that have a map",
        )  # fmt: skip
        tables = (_places(places, evidence), _first(evidence, looked))
        notes = (
            "A flag is a suspicion and no proof. A place that all classes share is not found here.",
            "Images are ranked by confidence x (1 - effective area) x confidence lost when the most salient tenth of "
            "the pixels is hidden; suspects.csv has all of them.",
        )
        scores = {"flagged": count}
        return self.found(
            lambda _: _sentence(flagged, tested, evidence.classes), {"suspicion": (SUSPICION, looked)}, evidence.seed,
            scores, tables=tables, notes=notes, flagged=frozenset(place.label for place in flagged),
        )  # fmt: skip


def ranked(evidence: Evidence) -> Tensor:
    """Return how suspicious each image is: [N] in [0, 1], NaN without a map."""
    confidence = evidence.logits.double().softmax(dim=1).amax(dim=1)
    drop = confidence - evidence.tensor("shortcut/kept")
    return suspicion(confidence, effective_area(evidence.tensor("maps/predicted")), drop)


def suspects(evidence: Evidence) -> list[dict[str, str | int | float]]:
    """Return a row for each image, those to look at first on top; images without a map last."""
    looked, names = ranked(evidence), evidence.arrays["shortcut/names"]
    probability = evidence.logits.softmax(dim=1)
    confidence, predicted = probability.max(dim=1)
    area = effective_area(evidence.tensor("maps/predicted"))
    kept = evidence.tensor("shortcut/kept")
    order = looked.nan_to_num(-1.0).argsort(descending=True, stable=True).tolist()
    classes = evidence.classes
    return [
        {
            "rank": place + 1, "row": row, "file": str(names[row]), "class": classes[int(evidence.labels[row])],
            "predicted": classes[int(predicted[row])], "suspicion": round(float(looked[row]), 4),
            "confidence": round(float(confidence[row]), 4), "effective_area": round(float(area[row]), 4),
            "confidence_hidden": round(float(kept[row]), 4),
        }
        for place, row in enumerate(order)
    ]  # fmt: skip


def _places(places: list[Place], evidence: Evidence) -> Table:
    """Return the classes, the most suspicious first."""
    order = sorted(places, key=lambda place: (not place.flagged, -(place.effect if place.p == place.p else -9)))[:FIRST]
    rows = []
    for place in order:
        where = "-" if place.share is None else located(*place.share)
        tested = place.p == place.p
        rows.append((
            evidence.classes[place.label], "suspicious" if place.flagged else "no" if tested else "no answer", where,
            f"{place.effect:.2f}" if tested else "-", f"{place.p:.3f}" if tested else "-", str(place.n),
        ))  # fmt: skip
    heads = ("predicted class", "one place?", "place, in shares of the image", "overlap above others", "p", "n")
    seen = tuple(examples_named(evidence, place.label, place.share) for place in order)
    return Table("Places of the classes", heads, tuple(rows), seen)


def _first(evidence: Evidence, looked: Tensor) -> Table:
    rows = [row for row in suspects(evidence)[:FIRST] if row["suspicion"] == row["suspicion"]]
    heads = ("file", "class", "predicted", "suspicion", "confidence", "effective area", "confidence, part hidden")
    keys = ("file", "class", "predicted", "suspicion", "confidence", "effective_area", "confidence_hidden")
    seen = tuple(Examples((int(row["row"]),)) for row in rows)
    return Table("Images to look at first", heads, tuple(tuple(str(row[key]) for key in keys) for row in rows), seen)


def _sentence(flagged: list[Place], tested: list[Place], classes: list[str]) -> str:
    if not tested:
        return f"No class has {FEWEST} images with a map: too few to say anything."
    if not flagged:
        return f"None of {len(tested)} classes looks at a narrow place of its own in image after image."
    names = ", ".join(repr(classes[place.label]) for place in flagged[:5])
    return (
        f"{len(flagged)} of {len(tested)} classes look at the same narrow place in image after image, as they would at "
        f"a watermark: {names}. Look at the place, hide it, and diagnose again."
    )
