"""Verdicts in words, from their numbers alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf, isfinite, log10, nan
from typing import Literal, get_args

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.interval import Interval
from overfocus.metrics.score import Better
from overfocus.statistics.paired import Paired
from overfocus.statistics.power import LEVEL, MOST, seeds_to_flip
from overfocus.statistics.sequential import ONCE, Look

Verdict = Literal["better", "worse", "different", "no difference", "too few seeds"]
POINTS = "points"
FLIP = "the sign-flip test, which needs no normal noise,"


@dataclass(frozen=True)
class Terms:
    """What the effects of one family share: how to read the measure, and what they are a family of."""

    better: Better = "higher"
    margin: float = nan
    """The least difference that matters, in the measure's own unit; NaN for unknown."""
    unit: str = ""
    """Written after a difference; "points" are hundredths, for accuracies and other shares."""
    family: str = "methods"
    seed: int = 0
    """That of the resampling."""
    look: Look = ONCE
    """Where a study that may stop early stands."""
    folds: int = 0
    """Of a cross-validation; 0 for independent runs."""

    @property
    def runs(self) -> str:
        """What the numbers are of."""
        return "folds" if self.folds else "seeds"

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise UnknownName("direction", str(self.better), get_args(Better))
        if self.margin <= 0:
            raise OverfocusError(f"margin = {self.margin}: give a difference above 0, or NaN where none is too small")

    def amount(self, number: float) -> str:
        """Return a size such as the margin, with its unit."""
        shown = 100 * number if self.unit == POINTS else number
        unit = "point" if self.unit == POINTS and f"{shown:.3g}" == "1" else self.unit
        return f"{shown:.3g} {unit}".strip()

    def change(self, difference: Interval, *, signed: bool) -> str:
        """Return a difference with its interval, such as `+0.4 points [-0.6, 1.4]`.

        Not signed: as a size, which the words around it give a direction; the ends turn with it.
        """
        turn = -1 if not signed and difference.value < 0 else 1
        factor = 100 * turn if self.unit == POINTS else turn
        low, high = sorted((factor * difference.low, factor * difference.high))
        value = factor * difference.value
        places = _places(value, low, high, least=int(self.unit == POINTS))
        shown = f"{_rounded(value, places):{'+' if signed else ''}.{places}f} {self.unit}".strip()
        if not difference.bounded:
            return shown
        return f"{shown} [{_rounded(low, places):.{places}f}, {_rounded(high, places):.{places}f}]"


def claim(verdict: Verdict, found: Paired, terms: Terms) -> str:
    """Return the verdict with its numbers, short enough for a table."""
    size = terms.change(found.difference, signed=False)
    higher = "higher" if found.difference.value > 0 else "lower"
    if verdict == "different":
        return f"{higher} by {size}"
    if verdict in ("better", "worse"):
        return f"{verdict} by {size}" if terms.better == "higher" else f"{verdict} ({higher}) by {size}"
    if verdict == "no difference":
        if found.constant:
            return f"no difference: the same number on all {found.n} {terms.runs}"
        return f"no difference larger than {terms.amount(terms.margin)}: {terms.change(found.difference, signed=True)}"
    few = "too few pictures" if terms.folds else "too few seeds"
    return f"{few} to say: {_undecided(found, terms)}"


def _undecided(found: Paired, terms: Terms) -> str:
    if not found.n:
        return "no seed has both runs"
    if found.n > 1 and found.constant and not found.difference.value:
        return f"the same number on all {found.n} {terms.runs}, and the images leave a difference open"
    return terms.change(found.difference, signed=True)


def caveats(
    verdict: Verdict, found: Paired, terms: Terms, *, p: float, p_sign_flip: float, family: int, new: float,
    two_level: Interval,
) -> str:  # fmt: skip
    """Return what weakens a verdict, or what it would take; empty where there is nothing to say.

    p, p_sign_flip: after Holm over a `family` of so many. new: seeds of a new study that would settle it. two_level:
    the difference with its interval over seeds and pictures.
    """
    parts = [found.difference.note]
    if verdict == "no difference":
        parts = ["perhaps the method did not act"] if found.constant else parts
        parts += [_on_other_pictures(verdict, two_level, terms)]
    elif verdict == "too few seeds":
        parts += [_lost_to_holm(found, terms, p, family), _what_it_takes(found, terms, new)]
    else:
        parts += [_too_small(found, terms), _unconfirmed(found, terms, p_sign_flip, family)]
        parts += [_on_other_pictures(verdict, two_level, terms)]
    return "; ".join(filter(None, parts))


def _lost_to_holm(found: Paired, terms: Terms, p: float, family: int) -> str:
    if not found.p <= LEVEL:
        return ""
    return f"p = {found.p:.2g} alone, but {p:.2g} after Holm over {family} {terms.family}"


def _on_other_pictures(verdict: Verdict, two_level: Interval, terms: Terms) -> str:
    """Say that a verdict holds for these test pictures alone: with others in their place it is open."""
    far = max(-two_level.low, two_level.high)
    still_open = far > terms.margin if verdict == "no difference" else two_level.low <= 0 <= two_level.high
    if not (two_level.bounded and still_open):
        return ""
    return f"over seeds and pictures {terms.change(two_level, signed=True)}, so other pictures may show otherwise"


def _what_it_takes(found: Paired, terms: Terms, new: float) -> str:
    if terms.folds:
        seen = terms.amount(float(f"{found.detectable:.2g}"))
        return f"{seen} would have shown in 4 of 5 such cross-validations" if isfinite(found.detectable) else ""
    if terms.look.following:
        return f"the plan goes on to {terms.look.following} seeds"
    if new == inf:
        seen = terms.amount(float(f"{found.detectable:.2g}"))
        return f"{MOST:,} seeds would not settle it, and {seen} would have shown in 4 of 5 such studies"
    if not isfinite(new):
        return ""
    return f"a study of its own with about {int(float(f'{new:.2g}'))} new seeds, fixed beforehand, would settle it"


def _too_small(found: Paired, terms: Terms) -> str:
    if max(-found.difference.low, found.difference.high) < terms.margin:
        return f"that is less than the {terms.amount(terms.margin)} that matters"
    return ""


def _unconfirmed(found: Paired, terms: Terms, p_sign_flip: float, family: int) -> str:
    if found.constant:
        return "this rests on the sign-flip test"
    if p_sign_flip <= LEVEL or terms.folds:
        return ""
    needed = seeds_to_flip(family, LEVEL * terms.look.share)
    if found.n < needed:
        return f"{FLIP} cannot confirm it with {found.n} seeds, only from {needed} on"
    return f"{FLIP} does not confirm it (p = {p_sign_flip:.2g})"


def _places(value: float, low: float, high: float, least: int) -> int:
    """Return the decimals that show an interval's width in one digit, and more where an end would be shown as 0."""
    width = (high - low) / 2 if isfinite(high - low) else abs(value)
    if not (isfinite(width) and width > 0):
        return least
    places = min(max(-floor(log10(width)), least), 6)
    ends = [abs(end) for end in (low, high) if isfinite(end) and end]
    more = (extra for extra in range(3) if all(round(end, places + extra) for end in ends))
    return places + next(more, 2)


def _rounded(number: float, places: int) -> float:
    return round(number, places) + 0.0  # no "-0.0"
