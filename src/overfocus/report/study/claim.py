"""What a chart of a study shows, in words that follow from verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from overfocus.core.interval import Interval
from overfocus.report.label import label
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.verdict import Compared, compared
from overfocus.study.results import ACCURACY, Measure, Results
from overfocus.study.run_key import Size

MOST = 30
"""Letters of a method that a title shows."""


@dataclass(frozen=True)
class Told:
    """Methods by what is known of them, against the baseline."""

    up: tuple[str, ...]
    """Those whose number is higher."""
    down: tuple[str, ...]
    seeds: int
    """The fewest seeds that a method shares with the baseline; 0 where there is no other method."""


def measured(results: Results, key: str) -> Measure | None:
    """Return the measure of that key; None where the study has no such number."""
    return next((measure for measure in results.measures if measure.key == key), None)


def judged(results: Results, measure: Measure, size: Size) -> Compared:
    """Return the verdicts on a measure at one data size, as the tables of the report have them."""
    unit = "points" if measure.key == ACCURACY.key or measure.key.endswith(".accuracy") else measure.unit
    return compared(
        results.values(measure, size), results.study.baseline, better=measure.better, margin=measure.margin, unit=unit
    )


def directions(of: Compared) -> Told:
    """Return which methods are shown to have a higher or a lower number than the baseline."""
    shown = {m: e for m, e in of.effects.items() if e.verdict in ("better", "worse", "different")}
    up = tuple(m for m, e in shown.items() if e.paired.difference.value > 0)
    down = tuple(m for m, e in shown.items() if e.paired.difference.value < 0)
    return Told(up, down, min((e.paired.n for e in of.effects.values()), default=0))


def claim(head: str, of: Compared) -> str:
    """Return a title such as "Overfocus score: lower with cutmix than with plain"."""
    found = directions(of)
    parts = [f"higher with {named(found.up)}"] if found.up else []
    parts += [f"lower with {named(found.down)}"] if found.down else []
    if parts:
        return f"{head}: {', '.join(parts)} than with {short(of.baseline)}"
    if not of.effects:
        return f"{head} of {short(of.baseline)}"
    if found.seeds < 2:
        return f"{head}: from one seed, which cannot tell a difference from luck"
    return f"{head}: no method is shown to differ from {short(of.baseline)}"


def named(methods: Sequence[str]) -> str:
    """Return names in a row; beyond three only how many more there are."""
    shown = [short(method) for method in methods[:3]]
    if len(methods) > 3:
        shown.append(f"{len(methods) - 3} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def short(method: str) -> str:
    """Return a method as a title shows it."""
    return label(method, most=MOST).short


def means(values: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """Return method -> mean over seeds of its numbers [S], of the methods that have any."""
    found = {method: mean_interval(each) for method, each in values.items()}
    return {method: mean for method, mean in found.items() if mean.answered}


def listed(of: Mapping[str, Interval], digits: int = 3) -> str:
    """Return means in words: "plain 0.830 [0.810, 0.850], cutout 0.820"."""
    return ", ".join(f"{short(method)} {numbered(mean, digits)}" for method, mean in of.items())


def numbered(mean: Interval, digits: int = 3) -> str:
    """Return a mean with its interval."""
    if not mean.bounded:
        return f"{mean.value:.{digits}f}"
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"


def seeds(of: Mapping[str, Interval]) -> str:
    """Say of how many seeds the means are."""
    counts = sorted({mean.n for mean in of.values()})
    if not counts:
        return "no seed"
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} seed{'' if counts == [1] else 's'}"


def interval_note(of: Mapping[str, Interval]) -> str:
    """Say what the numbers in brackets are; there are none of one seed, nor of seeds that all say the same."""
    if not any(mean.bounded for mean in of.values()):
        return f"Means over {seeds(of)}, without intervals."
    return f"Means over {seeds(of)} with 95 % intervals."
