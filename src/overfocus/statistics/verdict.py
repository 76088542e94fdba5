"""Every method of a study against the baseline: a verdict in words that follow from the numbers.

A verdict rests on the paired t test after Holm and on the t interval, because nothing else holds with the five seeds
that a study can afford; what needs no normal noise stands beside it. Why, with figures:
docs/decisions/0008-what-a-verdict-rests-on.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, isnan, nan, sqrt
from typing import Any, Literal

import numpy as np

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.interval import Interval, finite
from overfocus.metrics.score import NORMAL, Better
from overfocus.statistics.estimate import line, mean_interval
from overfocus.statistics.paired import Paired, holm, paired
from overfocus.statistics.power import LEVEL, seeds_to_flip, seeds_to_settle
from overfocus.statistics.wording import Terms, Verdict, caveats, claim

SHOWN: tuple[Verdict, ...] = ("better", "worse", "different")
"""Verdicts that a difference is there."""


@dataclass(frozen=True)
class Effect:
    """What a method does to a number, against the baseline, and whether it may be luck."""

    paired: Paired
    p: float
    """The p value that the verdict rests on, after Holm: of the t test, or, where all differences are equal and the t
    test has no answer, of the sign-flip test. NaN for fewer than two seeds."""
    p_sign_flip: float
    """The p value of the sign-flip test after Holm."""
    verdict: Verdict
    claim: str
    """The verdict with its numbers, short enough for a table."""
    caveat: str
    """What weakens it; empty where nothing does."""
    more_seeds: float
    """About how many more seeds would settle it, if what was seen is the truth; 0 where it is settled, inf for more
    than 1,000, NaN where the noise is not known."""

    @property
    def direction(self) -> Literal["higher", "lower", ""]:
        """Which way the method is shown to move the number; empty where it is not shown to."""
        if self.verdict not in SHOWN:
            return ""
        return "higher" if self.paired.difference.value > 0 else "lower"

    @property
    def sentence(self) -> str:
        """The claim and its caveat."""
        return f"{self.claim}; {self.caveat}" if self.caveat else self.claim

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        return {
            "verdict": self.verdict, "sentence": self.sentence, "claim": self.claim, "caveat": self.caveat,
            "p": finite(self.p), "p_sign_flip": finite(self.p_sign_flip), "more_seeds": finite(self.more_seeds),
            "paired": self.paired.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One measure at one data size: every method's mean, and every effect against the baseline."""

    baseline: str
    better: Better
    margin: float
    """The least difference that matters; NaN for unknown, and then no method is found to make no difference."""
    unit: str
    means: Mapping[str, Interval] = field(repr=False)
    effects: Mapping[str, Effect] = field(repr=False)
    """All methods but the baseline, in the order that they were given."""

    def shown(self, direction: Literal["higher", "lower"]) -> tuple[str, ...]:
        """Return the methods whose number is shown to be higher, or lower, than that of the baseline."""
        return tuple(method for method, effect in self.effects.items() if effect.direction == direction)

    @property
    def seeds(self) -> int:
        """The fewest seeds that a method shares with the baseline; 0 where there is no other method."""
        return min((effect.paired.n for effect in self.effects.values()), default=0)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no answer is null."""
        return {
            "baseline": self.baseline, "better": self.better, "margin": finite(self.margin), "unit": self.unit,
            "means": {method: mean.as_dict() for method, mean in self.means.items()},
            "effects": {method: effect.as_dict() for method, effect in self.effects.items()},
        }  # fmt: skip


def compared(
    values: Mapping[str, np.ndarray], baseline: str, *, better: Better = "higher", margin: float = nan,
    unit: str = "", seed: int = 0, reach: Callable[[str], float] = lambda method: nan,
) -> Compared:  # fmt: skip
    """Compare every method of `values` (method -> [S], one number for each seed, NaN for a missing run) with
    `baseline`. The methods but the baseline are one family for Holm: call once for each measure and data size.

    unit: written after a difference; "points" are hundredths, for accuracies. seed: that of the resampling.
    Raises UnknownName for a baseline that is not there.
    """
    if baseline not in values:
        raise UnknownName("method", baseline, values)
    terms = Terms(better, margin, unit, seed=seed)
    others = [method for method in values if method != baseline]
    found = _effects(
        [(values[method], values[baseline]) for method in others], terms, [partial(reach, m) for m in others]
    )
    means = {method: mean_interval(each) for method, each in values.items()}
    return Compared(baseline, better, margin, unit, means, dict(zip(others, found, strict=True)))


def per_class_effects(
    method: np.ndarray, baseline: np.ndarray, *, margin: float = nan, unit: str = "points", seed: int = 0,
    reach: Callable[[int], float] = lambda number: nan,
) -> list[Effect]:  # fmt: skip
    """Return the effect of a method on the accuracy of each of K classes, which are one family for Holm.

    method, baseline: [S, K], one row for each seed, NaN where there is no number. reach: as for `compared`, by the
    number of the class.
    """
    method, baseline = np.asarray(method, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if method.ndim != 2 or method.shape != baseline.shape:
        raise OverfocusError(
            f"accuracies must be [S, K] of the same seeds and classes, not {list(method.shape)} and "
            f"{list(baseline.shape)}; give one row for each seed"
        )
    pairs = list(zip(method.T, baseline.T, strict=True))
    reaches = [partial(reach, number) for number in range(len(pairs))]
    return _effects(pairs, Terms(margin=margin, unit=unit, family="classes", seed=seed), reaches)


def tie_reach(method: np.ndarray, baseline: np.ndarray, labels: np.ndarray) -> float:
    """Return how large a difference in accuracy images may still show where a method and the baseline have the same
    accuracy on all seeds: half of the 95 % interval over images, in [0, 1]; 0 where every prediction is the same.

    method, baseline: predictions [S, N] of the same seeds; labels: [N]. The interval is Wald's with half an image added
    to either side of those on which the two differ (Agresti and Min 2005), so that a few images without any difference
    do not count as proof of none.
    """
    if np.array_equal(method, baseline):
        return 0.0
    difference = ((method == labels).astype(float) - (baseline == labels)).mean(axis=0)
    return NORMAL * sqrt(float((difference**2).sum()) + 1) / (len(labels) + 2)


def _effects(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], terms: Terms, reaches: Sequence[Callable[[], float]]
) -> list[Effect]:
    """Return the effects of one family."""
    found = [paired(line(each), line(other), better=terms.better, seed=terms.seed) for each, other in pairs]
    adjusted = holm([each.p_sign_flip if isnan(each.p) else each.p for each in found])
    flipped = holm([each.p_sign_flip for each in found])
    family = int(np.isfinite(adjusted).sum())
    four = zip(found, adjusted.tolist(), flipped.tolist(), reaches, strict=True)
    return [_effect(*each, family, terms) for each in four]


def _effect(
    found: Paired, p: float, p_sign_flip: float, reach: Callable[[], float], family: int, terms: Terms
) -> Effect:
    verdict = _verdict(found, p, reach, terms)
    more = _more_seeds(found, family, terms) if verdict == "too few seeds" else 0.0
    caveat = caveats(verdict, found, terms, p=p, p_sign_flip=p_sign_flip, family=family, more=more)
    return Effect(found, p, p_sign_flip, verdict, claim(verdict, found, terms), caveat, more)


def _verdict(found: Paired, p: float, reach: Callable[[], float], terms: Terms) -> Verdict:
    """Return the verdict: from p after Holm first, then from where the interval lies; for a tie on all seeds, which has
    no interval over seeds, from the images.
    """
    difference = found.difference
    if p <= LEVEL:
        if terms.better == "neither":
            return "different"
        return "better" if (difference.value > 0) == (terms.better == "higher") else "worse"
    if found.n > 1 and found.constant and difference.value == 0:
        tied = reach()
        return "no difference" if tied == 0 or tied <= terms.margin else "too few seeds"
    if max(-difference.low, difference.high) <= terms.margin:
        return "no difference"
    return "too few seeds"


def _more_seeds(found: Paired, family: int, terms: Terms) -> float:
    """Return how many more seeds it takes: for equal differences those of the sign-flip test, which decides there."""
    if found.constant:
        return float(seeds_to_flip(family) - found.n) if found.difference.value else nan
    level = LEVEL / family if family else LEVEL
    total = seeds_to_settle(found.difference.value, found.noise, margin=terms.margin, level=level)
    return max(1.0, total - found.n) if isfinite(total) else total
