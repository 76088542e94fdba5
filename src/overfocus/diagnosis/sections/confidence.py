"""Is its confidence true? Calibration, with and without a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import ClassVar

from torch import Tensor

from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.section import Chart, Finding, Line, Section
from overfocus.diagnosis.wording import enough, percent
from overfocus.metrics.confidence import Predictions, scores
from overfocus.metrics.reliability import diagram
from overfocus.metrics.score import Metric, Score
from overfocus.metrics.temperature import scaled, tempered

SLIGHT = 0.005
"""A gap that nobody acts on."""
TEMPERATURE = Metric("temperature", "T > 0 of least NLL on one half; above 1 was over-confident", "neither", high=inf)


@dataclass(frozen=True)
class Confidence(Section):
    """ECE in its kinds, gap, Brier, NLL, AURC, and the same after temperature scaling."""

    name: ClassVar[str] = "confidence"
    title: ClassVar[str] = "Confidence"
    question: ClassVar[str] = "Is it right as often as it says?"
    order: ClassVar[int] = 90
    passes: ClassVar[int] = 0
    headline: ClassVar[tuple[str, ...]] = ("ece", "gap", "accuracy", "nll", "brier", "ece_tempered")
    bins: int = 15

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute all numbers of `metrics.confidence`, and those of one half at the temperature of the other."""
        logits, labels = evidence.logits, evidence.labels
        predictions = Predictions.of(logits, labels)
        found = scores(logits, labels, bins=self.bins, seed=evidence.seed)
        halved = tempered(logits, labels, bins=self.bins, seed=evidence.seed)
        note = (
            "" if isfinite(halved.temperature) else "no finite temperature is best: all right, or no better than chance"
        )
        found["temperature"] = Score(TEMPERATURE, halved.temperature, n=len(labels) // 2, note=note)
        for name in ("ece", "nll", "gap"):
            found[f"{name}_half"], found[f"{name}_tempered"] = halved.before[name], halved.after[name]
        lines = [_reliability("as it is", logits, labels, self.bins)]
        if isfinite(halved.temperature):
            lines.append(_reliability("at the temperature", scaled(logits, halved.temperature), labels, self.bins))
        chart = Chart("Reliability", "confidence", "accuracy", tuple(lines), diagonal=True)
        notes = (
            "A binned error is lifted by noise on few images; read the debiased one and the signed gap beside it.",
            "The temperature is fitted on one half of the images and evaluated on the other.",
        )
        # The means come from `scores`, which names those without an answer; values image by image serve comparisons.
        return Finding(
            self.name,
            self.title,
            self.question,
            _sentence(found),
            found,
            predictions.means(),
            charts=(chart,),
            notes=notes,
        )


def _reliability(name: str, logits: Tensor, labels: Tensor, bins: int) -> Line:
    kept = Predictions.of(logits, labels).answered()
    found = diagram(kept.confidence, kept.hit, bins)
    filled = found.count > 0
    return Line(name, found.confidence[filled].tolist(), found.accuracy[filled].tolist())


def _sentence(found: Mapping[str, Score]) -> str:
    gap, ece = found["gap"], found["ece"]
    apart = isfinite(gap.low) and not gap.low <= 0 <= gap.high
    side = "as sure as it should be" if abs(gap.value) < SLIGHT else "not shown to differ from what it should be"
    if apart and abs(gap.value) >= SLIGHT:
        side = "over-confident" if gap.value > 0 else "under-confident"
    after = found["ece_tempered"]
    helped = f" A temperature of {found['temperature'].value:.2f} takes the ECE of the held-out half from " + (
        f"{found['ece_half'].value:.3f} to {after.value:.3f}."
    )
    return (
        f"It says {percent(found['confidence'].value)} and is right in {percent(found['accuracy'].value)}: {side} "
        f"(gap {gap}); ECE {ece}.{helped if after.answered else ''} {enough(gap)}"
    )
