"""How narrowly does the model look? By the map of each image, at the size that the network has, and by occlusion.

The map is of one layer, and a method that acts there (SGDrop) widens it more than what the network reads of the
picture. So the picture is asked as well: cells of a coarse grid are hidden one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from overfocus.core.boxes import fill
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Finding, Table, scattered
from overfocus.diagnosis.staged import Staged, Tick
from overfocus.diagnosis.wording import percent
from overfocus.metrics.coverage import coverage, coverage_scores
from overfocus.metrics.score import Score, mean_score
from overfocus.metrics.spread import ALL, OCCLUSION, effective_area
from overfocus.metrics.transplant import log_odds

LISTED = 12


@dataclass(frozen=True)
class Spread(Staged):
    """Spread of the maps of the true and of the predicted class, and the share of channels used."""

    name: ClassVar[str] = "spread"
    title: ClassVar[str] = "Spread"
    question: ClassVar[str] = "How much of the image does it look at?"
    order: ClassVar[int] = 10
    reads_map: ClassVar[bool] = True
    asks_no_map: ClassVar[tuple[str, ...]] = ("occlusion_area_predicted", "occlusion_area_true")
    passes: ClassVar[int] = 50
    headline: ClassVar[tuple[str, ...]] = (
        "effective_area_predicted", "occlusion_area_predicted", "mass_50_predicted", "gini_predicted"
    )  # fmt: skip
    decided_by: ClassVar[str] = "occlusion_area_predicted"
    along: ClassVar[int] = 0
    cells: int = 7
    """Cells along either axis that are hidden one by one, as many as a usual last map has positions."""

    def price(self, sample: Sample) -> int:
        """Count the whole picture and one pass for each cell."""
        return (1 + len(cells(sample.size, self.cells).flatten(0, 1))) * self.count(sample)

    def portion(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, portion: Portion, tick: Tick
    ) -> dict[str, Tensor]:
        """Return falls/true and falls/predicted [B, h, w]: how far the log-odds of the class fall with each cell hidden
        by the mean colour, in nats.
        """
        return _falls(classifier, portion, evidence, self.cells, tick)

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute every number of `metrics.spread` on both maps, and the effective area by occlusion."""
        per_image, occluded = {}, {}
        for which in ("true", "predicted"):
            maps = evidence.tensor(f"maps/{which}")
            for name, (metric, of) in ALL.items():
                per_image[f"{name}_{which}"] = (metric, of(maps))
            if "spread/rows" in evidence:  # an older diagnosis has no falls
                area = effective_area(evidence.tensor(f"spread/falls/{which}"))
                rows = evidence.tensor("spread/rows").long()
                name = f"occlusion_area_{which}"
                per_image[name] = (OCCLUSION, scattered(area, rows, len(evidence.labels)))
                occluded[name] = mean_score(OCCLUSION, area, seed=evidence.seed)
        used = evidence.tensor("used")
        channels = {
            f"channels_{name}": score
            for name, score in coverage_scores(used, evidence.labels, len(evidence.classes), seed=evidence.seed).items()
        }
        return self.found(
            _sentence, per_image, evidence.seed, {**occluded, **channels},
            tables=(_channels(used, evidence.labels, evidence.classes),), notes=_notes(evidence),
        )  # fmt: skip


def _falls(classifier: Classifier, portion: Portion, evidence: Evidence, count: int, tick: Tick) -> dict[str, Tensor]:
    """Return how far the log-odds of the true and of the predicted class fall with each cell hidden: [B, h, w]."""
    pixels, places = portion.pixels.to(classifier.device), cells(evidence.size, count)
    with torch.no_grad():
        # The whole picture takes the same path, so that a cell that is not read costs exactly nothing.
        whole = log_odds(classifier(pixels).cpu())
        odds = []
        for box in places.flatten(0, 1):
            hidden = fill(pixels, classifier.fill, box.to(pixels.device).expand(len(pixels), 4))
            odds.append(log_odds(classifier(hidden).cpu()))
            tick(len(odds) / places[:, :, 0].numel())
    odds = torch.stack(odds, dim=2)
    falls = (whole[:, :, None] - odds).unflatten(2, places.shape[:2]).float()
    classes = {"true": evidence.labels, "predicted": evidence.logits.argmax(dim=1)}
    return {f"falls/{which}": falls[torch.arange(len(pixels)), of[portion.rows]] for which, of in classes.items()}


def cells(size: tuple[int, int], count: int) -> Tensor:
    """Return the boxes [h, w, 4] int64 (x0, y0, x1, y1) that tile a picture of `size` (H, W): `count` of them along
    either axis, or as many as there are pixels.
    """
    (top, bottom), (left, right) = (_edges(side, min(count, side)) for side in size)
    y0, x0 = torch.meshgrid(top, left, indexing="ij")
    y1, x1 = torch.meshgrid(bottom, right, indexing="ij")
    return torch.stack((x0, y0, x1, y1), dim=2)


def _edges(side: int, count: int) -> tuple[Tensor, Tensor]:
    edges = torch.arange(count + 1) * side // count
    return edges[:-1], edges[1:]


def _notes(evidence: Evidence) -> tuple[str, ...]:
    height, width = evidence.arrays["maps/true"].shape[1:]
    channels = evidence.arrays["used"].shape[1]
    notes = [
        f"Maps ({evidence.about['map']}) of {height} x {width} positions, {channels} channels, layer "
        f"{evidence.about['layer']}."
    ]
    if "spread/rows" in evidence:
        down, along = evidence.arrays["spread/falls/true"].shape[1:]
        notes.append(
            f"By occlusion: {down} x {along} cells of the picture take the mean colour one by one, and what counts is "
            "how far the log-odds of the class fall. SGDrop acts on the layer of the map and widens the map more than "
            "this: a network looks wider where both numbers say so."
        )
    notes.append("Narrow is what this package looks for; wider is not better by itself, it can be onto the background.")
    return tuple(notes)


def _channels(used: Tensor, labels: Tensor, classes: list[str]) -> Table:
    """Return the classes that use the fewest channels, the fewest first; classes without an answer last."""
    found = coverage(used, labels, len(classes))
    order = found.participation.nan_to_num(2.0).argsort(stable=True)[:LISTED].tolist()
    rows = tuple(
        (
            classes[k],
            percent(float(found.participation[k])),
            percent(float(found.share_90[k])),
            str(int(found.count[k])),
        )
        for k in order
    )
    heads = ("class", "channels used", "channels of 90 % of the use", "n")
    return Table("Classes that use the fewest channels", heads, rows)


def _sentence(scores: Mapping[str, Score]) -> str:
    area, half = scores["effective_area_predicted"], scores["mass_50_predicted"]
    occluded = scores.get("occlusion_area_predicted")
    asked = (
        f" By hiding cell after cell it uses {percent(occluded.value)} of the picture ({occluded})." if occluded else ""
    )
    return (
        f"For what it predicts the model looks at {percent(area.value)} of the map (effective area {area}, "
        f"n = {area.n:,}); half of the attribution lies on {percent(half.value)} of it.{asked} An even map has 100 % "
        "and 50 %. Compare only maps of one size."
    )
