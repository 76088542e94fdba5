"""The charts of a study, each a function of what its runs found; None where the study has no such numbers."""

from __future__ import annotations

from overfocus.report.study.curves import accuracy_by_size, training_curves
from overfocus.report.study.dots import localization, part_shares, robustness, split_accuracies
from overfocus.report.study.hiding import hiding
from overfocus.report.study.reliability import reliability
from overfocus.report.study.spread import spread_against_accuracy

__all__ = [
    "accuracy_by_size",
    "hiding",
    "localization",
    "part_shares",
    "reliability",
    "robustness",
    "split_accuracies",
    "spread_against_accuracy",
    "training_curves",
]
