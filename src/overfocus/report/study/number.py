"""Numbers of a study in words, with their intervals, and the keys that they are sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan

from overfocus.core.interval import Interval

NONE, MINUS = "no answer", "\u2212"


@dataclass(frozen=True)
class Number:
    """A number in words."""

    value: str
    interval: str = ""
    key: float = nan
    """What a table is sorted by; NaN goes last."""
    note: str = ""

    @property
    def sort(self) -> str:
        """The key as an attribute; empty where there is no answer."""
        return f"{self.key:.10g}" if isfinite(self.key) else ""


def percent(mean: Interval, digits: int = 2) -> Number:
    """Return a share in per cent, without the sign."""
    return _scaled(mean, 100, digits)


def points(difference: Interval, digits: int = 2) -> Number:
    """Return a difference of two shares in points, with its sign."""
    return _scaled(difference, 100, digits, "+")


def plain(value: Interval, digits: int = 3) -> Number:
    """Return a number in its own unit."""
    return _scaled(value, 1, digits)


def p_value(p: float) -> Number:
    """Return a p value with two digits that count."""
    if not isfinite(p):
        return Number(NONE)
    return Number("< 0.001" if p < 0.001 else f"{p:.3f}", key=p)


def _scaled(of: Interval, factor: float, digits: int, sign: str = "") -> Number:
    if not of.answered:
        return Number(NONE, note=of.note)
    value, low, high = (f"{factor * each:{sign}.{digits}f}".replace("-", MINUS) for each in (of.value, of.low, of.high))
    return Number(value, f"[{low}, {high}]" if of.bounded else "", of.value)
