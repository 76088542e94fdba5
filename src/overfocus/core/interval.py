"""A number with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A number, the ends of its 95 % interval, and how many seeds or images it is of; NaN where there is no answer."""

    value: float
    low: float = nan
    high: float = nan
    n: int = 0
    note: str = ""
    """Why there is no answer, or what was left out."""

    @property
    def answered(self) -> bool:
        """Whether there is a number at all."""
        return isfinite(self.value)

    @property
    def bounded(self) -> bool:
        """Whether the interval has ends."""
        return isfinite(self.low) and isfinite(self.high)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        numbers = {name: finite(getattr(self, name)) for name in ("value", "low", "high")}
        return {**numbers, "n": self.n, "note": self.note}

    def __format__(self, spec: str) -> str:
        """Return value and interval, both in the format `spec`, by default three decimals."""
        if not self.answered:
            return f"no answer ({self.note})" if self.note else "no answer"
        value, low, high = (format(number, spec or ".3f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]" if self.bounded else value

    def __str__(self) -> str:
        return format(self)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` by Wilson's score (1927)."""
    from scipy.stats import binomtest

    interval = binomtest(round(share * count), count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def finite(number: float) -> float | None:
    """Return what JSON can hold."""
    return float(number) if isfinite(number) else None
