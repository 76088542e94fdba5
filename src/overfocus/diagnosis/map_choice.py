"""Which map says best where a network looks: of several methods and layers, the one that orders pixels best.

A few pictures of the sample choose; whether the chosen map is better than chance is then measured on others, in the
section `trust`, so that the choice flatters no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from overfocus.attribution.attribution import Attribution
from overfocus.attribution.catalogue import method, upsampled
from overfocus.core.key import Key
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.map_collector import maps_of
from overfocus.diagnosis.map_trust import probabilities
from overfocus.diagnosis.sample import Sample
from overfocus.metrics.score import Score
from overfocus.metrics.trust import FEWEST, gap_score, gaps

AUTO = "auto"
IMAGES = 24
"""Pictures that choose, at most half of the sample."""


@dataclass(frozen=True)
class Candidate:
    """A method of `overfocus.attribution` with its settings."""

    map: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Attribution:
        """The method."""
        return method(self.map, **self.settings)

    @property
    def title(self) -> str:
        """Its name, with the settings that are not as they come."""
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.map}({settings})" if settings else self.map


CANDIDATES = (
    Candidate("hirescam"),
    Candidate("fused_layercam", {"stages": 2}),
    Candidate("fused_layercam"),
    Candidate("smoothgrad", {"samples": 8, "shared": True}),
    Candidate("refined_occlusion"),
)
"""Maps that are tried, the cheapest first: of one layer, of two and three, of the pixels, and of no gradient. They take
about 140 passes forward for each picture that chooses.
"""


@dataclass(frozen=True)
class MapChoice:
    """The map that was chosen, and on what grounds."""

    chosen: Candidate
    tried: tuple[tuple[Candidate, Score], ...]
    """Each candidate with its gap to chance on the pictures that chose, the interval corrected for their number; empty
    where there were too few."""
    rows: tuple[int, ...] = ()
    """The pictures that chose."""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        tried = [{"map": each.title, "gap": score.as_dict()} for each, score in self.tried]
        return {"chosen": self.chosen.title, "tried": tried, "rows": list(self.rows)}


def choose(
    examined: Sequence[tuple[Classifier, Sample]],
    seed: int = 0,
    candidates: Sequence[Candidate] = CANDIDATES,
    on_progress: Callable[[str, int, int], None] = lambda title, done, total: None,
) -> MapChoice:
    """Return the candidate with the largest mean gap to chance (`metrics.trust`) on a few pictures of each classifier.

    examined: classifiers, each settled on its layer, with their samples of the same pictures; one map is chosen for all
    of them. Of fewer than 16 pictures none can choose, and the first candidate is taken.
    """
    sample = examined[0][1]
    rows = sample.some(min(IMAGES, len(sample) // 2), seed)
    if len(rows) < FEWEST:
        return MapChoice(candidates[0], ())
    total, found = len(candidates) * len(examined), []
    for number, candidate in enumerate(candidates):
        each = []
        for place, (classifier, own) in enumerate(examined):
            with classifier.examined():
                each.append(gaps_of(classifier, own, candidate.method, rows, seed))
            on_progress("Choice of the map", number * len(examined) + place + 1, total)
        found.append(torch.stack(each).nan_to_num(0.0).mean(dim=0))  # without a map nothing is ordered
    scores = [gap_score(values, tried=len(candidates)) for values in found]
    best = max(range(len(candidates)), key=lambda number: scores[number].value)
    return MapChoice(candidates[best], tuple(zip(candidates, scores, strict=True)), tuple(rows.tolist()))


def gaps_of(classifier: Classifier, sample: Sample, how: Attribution, rows: Tensor, seed: int) -> Tensor:
    """Return for the pictures `rows` [n] of `sample` how much more of the answer goes in the order of the map `how` of
    the predicted class than by chance: [n] float64, NaN without a map.
    """
    found = []
    for portion in sample.batches(rows):
        pixels = portion.pixels.to(classifier.device)
        with torch.no_grad():
            predicted = classifier(pixels).argmax(dim=1)
        maps = upsampled(maps_of(classifier, how, pixels, predicted), sample.size)
        key = Key.seeded(seed, device=classifier.device).fold_in("trust").at(portion.rows)
        found.append(gaps(*(each.cpu() for each in probabilities(classifier, pixels, maps, key).values())))
    return torch.cat(found)
