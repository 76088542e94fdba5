"""Several checkpoints on the same images, side by side: every number with its paired difference to the first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import nan

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.section import Finding
from overfocus.metrics.agreement import agreement
from overfocus.metrics.score import Metric, Score, mean_score


@dataclass(frozen=True)
class MetricRow:
    """One metric of all models."""

    name: str
    metric: Metric
    scores: tuple[Score, ...]
    differences: tuple[Score, ...]
    """To the first model, image by image, for all but the first; no answer for metrics that are no mean over images."""


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Diagnoses of several models on the same sample."""

    diagnoses: tuple[Diagnosis, ...]

    def __post_init__(self) -> None:
        first = self.diagnoses[0].evidence
        for other in self.diagnoses[1:]:
            if not same_images(first.arrays["labels"], other.evidence.arrays["labels"]):
                raise OverfocusError(
                    f"{self.diagnoses[0].name} and {other.name} were not evaluated on the same images; diagnose them "
                    "in one command"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """What the models are called."""
        return tuple(each.name for each in self.diagnoses)

    @property
    def sections(self) -> list[str]:
        """Names of the sections that were evaluated on every model."""
        return [f.name for f in self.diagnoses[0].findings if all(f.name in _names(d) for d in self.diagnoses)]

    @property
    def trusted(self) -> bool | None:
        """Whether the maps of all models order pixels better than chance; None where that was not measured."""
        return False if any(each.trusted is False for each in self.diagnoses) else self.diagnoses[0].trusted

    def findings(self, section: str) -> list[Finding]:
        """Return what the section found on each model."""
        return [next(f for f in each.findings if f.name == section) for each in self.diagnoses]

    def rows(self, section: str) -> list[MetricRow]:
        """Return all metrics of the section, side by side."""
        findings = self.findings(section)
        names = [name for name in findings[0].scores if all(name in f.scores for f in findings)]
        seed = self.diagnoses[0].evidence.seed
        return [
            MetricRow(
                name, findings[0].scores[name].metric, tuple(f.scores[name] for f in findings),
                tuple(_difference(name, findings[0], other, seed) for other in findings[1:]),
            )
            for name in names
        ]  # fmt: skip

    @cached_property
    def agreements(self) -> dict[str, dict[str, Score]]:
        """Return, for each model but the first, how far its maps agree with those of the first."""
        first = self.diagnoses[0].evidence
        return {
            other.name: agreement(
                first.tensor("maps/predicted"), other.evidence.tensor("maps/predicted"), seed=first.seed
            )
            for other in self.diagnoses[1:]
        }


def same_images(one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether labels [N] sort the same images into the same classes, in whatever order the classes stand."""
    pairs = np.stack((one, other), axis=1) if len(one) == len(other) else np.zeros((0, 2))
    kinds = len(np.unique(pairs, axis=0))
    return len(pairs) > 0 and kinds == len(np.unique(one)) == len(np.unique(other))


def _names(diagnosis: Diagnosis) -> set[str]:
    return {finding.name for finding in diagnosis.findings}


def _difference(name: str, first: Finding, other: Finding, seed: int) -> Score:
    """Return other minus first over the images that both answer."""
    metric = replace(first.scores[name].metric, low=nan, high=nan)
    if name not in first.per_image or name not in other.per_image:
        return Score(metric, nan, note="not a mean over images")
    return mean_score(metric, other.per_image[name][1] - first.per_image[name][1], seed=seed)
