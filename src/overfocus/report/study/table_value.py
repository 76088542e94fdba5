"""A table as a value; its cells are numbers until somebody writes them."""

from __future__ import annotations

from dataclasses import dataclass

from overfocus.core.interval import Interval

Cell = str | int | float | Interval | None
"""None, NaN and an interval without an answer are an empty cell."""
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """A column."""

    key: str
    """Its name in CSV, where numbers are as they are; an interval has two more, `KEY_low` and `KEY_high`."""
    title: str
    """Its name for people, with the unit."""
    factor: float = 1.0
    """What a number is multiplied by for people: 100 for a share in per cent."""
    digits: int = 3
    """Decimals for people."""
    signed: bool = False
    """Whether a number above 0 has a plus."""


@dataclass(frozen=True)
class StudyTable:
    """Rows of cells below heads."""

    name: str
    """Of its file."""
    title: str
    heads: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    """What a reader must know of the numbers."""

    def intervals(self) -> tuple[bool, ...]:
        """Return for each column whether it holds intervals."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.heads)
        return tuple(any(isinstance(cell, Interval) for cell in column) for column in columns)
