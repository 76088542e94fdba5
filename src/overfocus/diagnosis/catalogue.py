"""The sections of an examination, in the order in which they are asked."""

from __future__ import annotations

from overfocus.diagnosis.section import Section
from overfocus.diagnosis.sections.confidence import Confidence
from overfocus.diagnosis.sections.corruptions import CommonCorruptions
from overfocus.diagnosis.sections.deletion import Deletion
from overfocus.diagnosis.sections.focus import Focus
from overfocus.diagnosis.sections.hiding import Hiding
from overfocus.diagnosis.sections.in_between import InBetween
from overfocus.diagnosis.sections.localization import Localization
from overfocus.diagnosis.sections.outliers import Outliers
from overfocus.diagnosis.sections.robustness import Robustness
from overfocus.diagnosis.sections.shortcut import Shortcut
from overfocus.diagnosis.sections.spread import Spread
from overfocus.diagnosis.sections.transplant import Transplant

SECTIONS: tuple[Section, ...] = (
    Spread(),
    Focus(),
    Localization(),
    Hiding(),
    Deletion(),
    Robustness(),
    CommonCorruptions(),
    InBetween(),
    Confidence(),
    Outliers(),
    Shortcut(),
    Transplant(),
)
"""Each with its default settings."""
