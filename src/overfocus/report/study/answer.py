"""What a study says of its question: which method helps, by how much, and whether it may be luck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from overfocus.core.interval import Interval
from overfocus.report.label import Label, label
from overfocus.report.study.number import Number, p_value, percent, plain, points
from overfocus.report.study.sentence import sentences
from overfocus.statistics.verdict import Compared, Effect
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, BEST
from overfocus.study.run_key import Size


@dataclass(frozen=True)
class Span:
    """Where a difference and its interval lie on a scale that a table shares, from 0 to 100."""

    zero: float
    at: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Of the interval, wide enough to be seen."""
        return max(1.0, round(self.high - self.low, 2))


@dataclass(frozen=True)
class MethodRow:
    """A method at one data size."""

    method: Label
    mean: Number
    best: Number
    seeds: int
    difference: Number | None = None
    """None for the baseline, as are all that follow."""
    span: Span | None = None
    p: Number | None = None
    p_sign_flip: Number | None = None
    improvement: Number | None = None
    verdict: str = ""
    caveat: str = ""


@dataclass(frozen=True)
class SizeTable:
    """All methods at one data size, with what they say in a paragraph."""

    size: str
    title: str
    """The data size, in words."""
    sentences: tuple[Markup, ...]
    rows: tuple[MethodRow, ...]


def size_tables(comparison: Comparison) -> list[SizeTable]:
    """Return one table for each data size at which a run is finished, smallest first."""
    return [_table(comparison, size) for size in comparison.sizes]


def _table(comparison: Comparison, size: Size) -> SizeTable:
    last, best = (comparison.of(measure, size) for measure in (ACCURACY, BEST))
    ends = _ends(last.effects.values())
    rows = [_row(method, number, last, best, ends) for number, method in enumerate(comparison.study.methods)]
    return SizeTable(str(size), size.words, tuple(sentences(comparison, size)), tuple(rows))


def _row(method: str, number: int, last: Compared, best: Compared, ends: tuple[float, float]) -> MethodRow:
    name = label(method, number)
    mean, best_mean = (percent(each.means[method]) for each in (last, best))
    n = last.means[method].n
    if method not in last.effects:
        return MethodRow(name, mean, best_mean, n)
    effect = last.effects[method]
    return MethodRow(
        name, mean, best_mean, n, points(effect.paired.difference), _span(effect.paired.difference, ends),
        p_value(effect.p), p_value(effect.p_sign_flip), plain(effect.paired.improvement, 2), effect.verdict,
        effect.caveat,
    )  # fmt: skip


def _ends(effects: Iterable[Effect]) -> tuple[float, float]:
    """Return the ends of a scale that holds 0 and every interval."""
    found = [0.0]
    for effect in effects:
        difference = effect.paired.difference
        found += [each for each in (difference.value, difference.low, difference.high) if isfinite(each)]
    room = 0.05 * (max(found) - min(found)) or 1.0
    return min(found) - room, max(found) + room


def _span(difference: Interval, ends: tuple[float, float]) -> Span | None:
    if not difference.answered:
        return None
    low, high = (difference.low, difference.high) if difference.bounded else (difference.value, difference.value)
    places = [round(100 * (each - ends[0]) / (ends[1] - ends[0]), 2) for each in (0.0, difference.value, low, high)]
    return Span(*places)
