"""How narrowly does the model look? Numbers of the map of each image, at the size that the network has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.section import Finding, Section, Table
from overfocus.diagnosis.wording import percent
from overfocus.metrics.coverage import coverage, coverage_scores
from overfocus.metrics.score import Score
from overfocus.metrics.spread import ALL

LISTED = 12


@dataclass(frozen=True)
class Spread(Section):
    """Spread of the maps of the true and of the predicted class, and the share of channels used."""

    name: ClassVar[str] = "spread"
    title: ClassVar[str] = "Spread"
    question: ClassVar[str] = "How much of the image does it look at?"
    order: ClassVar[int] = 10
    passes: ClassVar[int] = 3
    headline: ClassVar[tuple[str, ...]] = ("effective_area_predicted", "mass_50_predicted", "gini_predicted")

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute every number of `metrics.spread` on both maps."""
        per_image = {}
        for which in ("true", "predicted"):
            maps = evidence.tensor(f"maps/{which}")
            for name, (metric, of) in ALL.items():
                per_image[f"{name}_{which}"] = (metric, of(maps))
        used = evidence.tensor("used")
        height, width = evidence.arrays["maps/true"].shape[1:]
        notes = (
            f"Maps ({evidence.about['map']}) of {height} x {width} positions, {used.shape[1]} channels, layer "
            f"{evidence.about['layer']}.",
            "Narrow is what this package looks for; a wider map is not better by itself, it can widen onto the "
            "background.",
        )
        channels = {
            f"channels_{name}": score
            for name, score in coverage_scores(used, evidence.labels, len(evidence.classes), seed=evidence.seed).items()
        }
        tables = (_channels(used, evidence.labels, evidence.classes),)
        return self.found(_sentence, per_image, evidence.seed, channels, tables=tables, notes=notes)


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
    return (
        f"For what it predicts the model looks at {percent(area.value)} of the map (effective area {area}, "
        f"n = {area.n:,}); half of the attribution lies on {percent(half.value)} of it. An even map has 100 % and "
        "50 %. Compare only maps of one size."
    )
