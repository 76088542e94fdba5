"""Where numbers lie on a scale that a table or several models share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from overfocus.core.interval import Interval


@dataclass(frozen=True)
class Scale:
    """A scale from `low` to `high`."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where `value` lies, in per cent of the length."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def known(of: Iterable[Interval]) -> list[float]:
    """Return all values and ends that are finite."""
    return [number for each in of for number in (each.value, each.low, each.high) if isfinite(number)]
