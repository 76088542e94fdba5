"""What a check is: it reads a survey, opens no file, and returns one finding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

from overfocus.checks.picture import Picture
from overfocus.checks.survey import Survey


class Severity(IntEnum):
    """How much a finding matters for what is trained on the data."""

    FINE = 0
    NOTE = 1
    """Worth knowing."""
    WARNING = 2
    """Figures can be worse, or better, than they ought to be."""
    PROBLEM = 3
    """Figures from this data mean something else than they seem to."""


@dataclass(frozen=True)
class Example:
    """Pictures that show a finding, side by side."""

    caption: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class DataFinding:
    """The answer of one check."""

    severity: Severity
    sentence: str
    """The finding, in one line."""
    value: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind it; what JSON can hold."""
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    """A table for the page, below `heads`."""
    examples: Sequence[Example] = ()


class Check(ABC):
    """A question about a set of images."""

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    order: ClassVar[int]

    @abstractmethod
    def evaluate(self, survey: Survey) -> DataFinding:
        """Answer the question; the same survey gives the same answer."""


NAMED = 3
"""Names that a sentence lists."""
SHOWN = 12
"""Examples that a page shows."""
