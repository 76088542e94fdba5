"""What a chart of a study shows, in words that follow from verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overfocus.core.interval import Interval
from overfocus.report.label import label
from overfocus.statistics.verdict import Compared

MOST = 30
"""Letters of a method that a title shows."""


def claim(head: str, of: Compared) -> str:
    """Return a title such as "Overfocus score: lower with cutmix than with plain"."""
    parts = [f"{way} with {named(of.shown(way))}" for way in ("higher", "lower") if of.shown(way)]
    if parts:
        return f"{head}: {', '.join(parts)} than with {short(of.baseline)}"
    if not of.effects:
        return f"{head} of {short(of.baseline)}"
    if of.seeds < 2:
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


def listed(of: Mapping[str, Interval], digits: int = 3) -> str:
    """Return means in words: "plain 0.830 [0.810, 0.850], cutout 0.820"."""
    return ", ".join(f"{short(method)} {mean:.{digits}f}" for method, mean in of.items())


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
