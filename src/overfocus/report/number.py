"""Numbers in words, with their intervals, and the keys that they are sorted by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan

from overfocus.core.interval import Interval

NONE, MINUS = "no answer", "\u2212"
LEAST = 1e-9
"""Numbers nearer to 0 are a rounded 0."""


@dataclass(frozen=True)
class Number:
    """A number in words."""

    value: str
    interval: str = ""
    key: float = nan
    """What a table is sorted by; NaN goes last."""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".rstrip()

    @property
    def sort(self) -> str:
        """The key as an attribute; empty where there is no answer."""
        return f"{self.key:.10g}" if isfinite(self.key) else ""


def in_percent(mean: Interval, digits: int = 2) -> Number:
    """Return a share in per cent, without the sign."""
    return _scaled(mean, 100, digits)


def in_points(difference: Interval, digits: int = 2) -> Number:
    """Return a difference of two shares in points, with its sign."""
    return _scaled(difference, 100, digits, "+")


def in_own_unit(value: Interval, digits: int = 3) -> Number:
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
    value, low, high = (
        f"{_rounded(factor * each, digits):{sign}.{digits}f}".replace("-", MINUS)
        for each in (of.value, of.low, of.high)
    )
    return Number(value, f"[{low}, {high}]" if of.bounded else "", of.value)


def _rounded(number: float, digits: int) -> float:
    """Round, without the sign of a rounded 0."""
    return round(number, digits) + 0.0


def score_in_words(score: Interval, sign: str = "") -> Number:
    """Return a score of a diagnosis, with its note."""
    if not score.answered:
        return Number(NONE, note=score.note)
    interval = f"[{compact(score.low, sign)}, {compact(score.high, sign)}]" if score.bounded else ""
    return Number(compact(score.value, sign), interval, note=score.note)


def difference_in_words(score: Interval) -> Number:
    """Return a paired difference, and whether its interval leaves 0 out."""
    found = score_in_words(score, "+")
    if not score.bounded or not score.answered:
        return found
    return replace(found, note="differs" if apart(score) else "not shown to differ from 0")


def apart(difference: Interval) -> bool:
    """Whether the 95 % interval of a difference leaves 0 out; an interval that is not known does not."""
    return difference.low > 0 or difference.high < 0


def compact(value: float, sign: str = "") -> str:
    """Return a number with three decimals, or four digits where it is small or large."""
    if not isfinite(value):
        return NONE
    value = 0.0 if abs(value) < LEAST else value
    plain = f"{value:{sign}.3f}" if value == 0 or 0.001 <= abs(value) < 10_000 else f"{value:{sign}.3g}"
    return plain.replace("-", MINUS)
