"""Every method of a study against the baseline: a verdict in words that follow from the numbers.

A verdict rests on the paired t test after Holm and on the t interval, because nothing else holds with the five seeds
that a study can afford; what needs no normal noise stands beside it. Why, with figures:
docs/decisions/0008-what-a-verdict-rests-on.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any, Literal

import numpy as np

from overfocus.core.deprecation import warn_renamed
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.interval import Interval, finite
from overfocus.metrics.score import Better
from overfocus.statistics.estimate import line, mean_interval
from overfocus.statistics.folds import SHARED
from overfocus.statistics.paired import Paired, holm, paired
from overfocus.statistics.pictures import NOT_KEPT, Pictures
from overfocus.statistics.power import LEVEL, seeds_to_flip, seeds_to_settle
from overfocus.statistics.sequential import ONCE, Look
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
    new_seeds: float
    """About how many seeds a study of its own, planned beforehand, would need to settle it, if what was seen is the
    truth; 0 where it is settled, inf for more than 1,000, NaN where the noise is not known. They are not to be added
    to this study: adding seeds until a verdict appears raises the rate of false ones."""
    two_level: Interval = NOT_KEPT
    """The mean difference with its 95 % interval over seeds and test pictures; for accuracies alone."""

    @property
    def raw_p(self) -> float:
        """The p value that the verdict rests on, before Holm."""
        return self.paired.p_sign_flip if isnan(self.paired.p) else self.paired.p

    @property
    def more_seeds(self) -> float:
        """The old answer of `new_seeds`: how many of them this study does not have yet."""
        warn_renamed("Effect.more_seeds", "Effect.new_seeds, which counts seeds of a study of its own,")
        return self.new_seeds and max(1.0, self.new_seeds - self.paired.n)

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
            "p": finite(self.p), "p_sign_flip": finite(self.p_sign_flip), "new_seeds": finite(self.new_seeds),
            "two_level": self.two_level.as_dict(), "paired": self.paired.as_dict(),
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


def compared(  # noqa: PLR0913
    values: Mapping[str, np.ndarray], baseline: str, *, better: Better = "higher", margin: float = nan,
    unit: str = "", seed: int = 0, pictures: Callable[[str], Pictures | None] = lambda method: None,
    look: Look = ONCE, folds: int = 0,
) -> Compared:  # fmt: skip
    """Compare every method of `values` (method -> [S], one number for each seed, NaN for a missing run) with
    `baseline`. The methods but the baseline are one family for Holm: call once for each measure and data size.

    unit: written after a difference; "points" are hundredths, for accuracies. seed: that of the resampling. pictures:
    the predictions behind a method's numbers, of the seeds that it shares with the baseline; None where they are not
    kept. look: where a study that may stop early stands. folds: of a cross-validation, whose numbers are one for each
    fold; 0 for independent runs (`statistics.folds`).
    Raises UnknownName for a baseline that is not there.
    """
    if baseline not in values:
        raise UnknownName("method", baseline, values)
    terms = Terms(better, margin, unit, seed=seed, look=look, folds=folds)
    others = [method for method in values if method != baseline]
    pairs = [(values[method], values[baseline]) for method in others]
    found = _effects(pairs, terms, [pictures(method) for method in others])
    means = {method: mean_interval(each, folds) for method, each in values.items()}
    return Compared(baseline, better, margin, unit, means, dict(zip(others, found, strict=True)))


def per_class_effects(
    method: np.ndarray, baseline: np.ndarray, *, margin: float = nan, unit: str = "points", seed: int = 0,
    pictures: Pictures | None = None, look: Look = ONCE, folds: int = 0,
) -> list[Effect]:  # fmt: skip
    """Return the effect of a method on the accuracy of each of K classes, which are one family for Holm.

    method, baseline: [S, K], one row for each seed, NaN where there is no number. pictures, look, folds: as for
    `compared`.
    """
    method, baseline = np.asarray(method, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if method.ndim != 2 or method.shape != baseline.shape:
        raise OverfocusError(
            f"accuracies must be [S, K] of the same seeds and classes, not {list(method.shape)} and "
            f"{list(baseline.shape)}; give one row for each seed"
        )
    pairs = list(zip(method.T, baseline.T, strict=True))
    of_class = [pictures and pictures.of(number) for number in range(len(pairs))]
    terms = Terms(margin=margin, unit=unit, family="classes", seed=seed, look=look, folds=folds)
    return _effects(pairs, terms, of_class)


def _effects(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], terms: Terms, pictures: Sequence[Pictures | None]
) -> list[Effect]:
    """Return the effects of one family."""
    own = {"better": terms.better, "seed": terms.seed, "share": terms.look.share, "folds": terms.folds}
    found = [paired(line(a), line(b), **own) for a, b in pairs]
    adjusted = holm([each.p_sign_flip if isnan(each.p) else each.p for each in found])
    flipped = holm([each.p_sign_flip for each in found])
    family = int(np.isfinite(adjusted).sum())
    four = zip(found, adjusted.tolist(), flipped.tolist(), pictures, strict=True)
    return [_effect(*each, family, terms) for each in four]


def _effect(
    found: Paired, p: float, p_sign_flip: float, pictures: Pictures | None, family: int, terms: Terms
) -> Effect:
    verdict = _verdict(found, p, pictures, terms)
    new = _new_seeds(found, family, terms) if verdict == "too few seeds" else 0.0
    two_level = pictures.interval(terms.look.share) if pictures else NOT_KEPT
    if terms.folds:  # every picture is tested once in each cross-validation: the interval over folds is over pictures
        two_level = Interval(two_level.value, note=SHARED)
    caveat = caveats(verdict, found, terms, p=p, p_sign_flip=p_sign_flip, family=family, new=new, two_level=two_level)
    return Effect(found, p, p_sign_flip, verdict, claim(verdict, found, terms), caveat, new, two_level)


def _verdict(found: Paired, p: float, pictures: Pictures | None, terms: Terms) -> Verdict:
    """Return the verdict: from p after Holm first, then from where the interval lies; for a tie on all seeds, which has
    no interval over seeds, from the images.
    """
    difference = found.difference
    if p <= LEVEL:
        if terms.better == "neither":
            return "different"
        return "better" if (difference.value > 0) == (terms.better == "higher") else "worse"
    if found.n > 1 and found.constant and difference.value == 0:
        tied = pictures.reach(terms.look.share) if pictures else nan
        return "no difference" if tied == 0 or tied <= terms.margin else "too few seeds"
    if max(-difference.low, difference.high) <= terms.margin:
        return "no difference"
    return "too few seeds"


def _new_seeds(found: Paired, family: int, terms: Terms) -> float:
    """Return how many seeds a new study takes: for equal differences those of the sign-flip test, which decides; NaN
    for folds.
    """
    if terms.folds:  # more folds of the same pictures would not
        return nan
    if found.constant:
        return float(seeds_to_flip(family)) if found.difference.value else nan
    level = LEVEL / family if family else LEVEL
    return seeds_to_settle(found.difference.value, found.noise, margin=terms.margin, level=level)
