"""The sections of an examination, in the order in which they are asked."""

from __future__ import annotations

from overfocus.diagnosis.common_corruptions import CommonCorruptions
from overfocus.diagnosis.confidence import Confidence
from overfocus.diagnosis.deletion import Deletion
from overfocus.diagnosis.focus import Focus
from overfocus.diagnosis.hiding import Hiding
from overfocus.diagnosis.in_between import InBetween
from overfocus.diagnosis.localization import Localization
from overfocus.diagnosis.outliers import Outliers
from overfocus.diagnosis.robustness import Robustness
from overfocus.diagnosis.section import Section
from overfocus.diagnosis.shortcut import Shortcut
from overfocus.diagnosis.spread import Spread
from overfocus.diagnosis.transplant import Transplant

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
