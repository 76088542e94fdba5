"""Dots of a study: methods beside one another, each a mean over seeds with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from overfocus.core.interval import Interval
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.diagnosis.section import Line
from overfocus.report.drawing.axes import MethodStyle, chart_label, draw_frame, draw_legend, empty_figure, method_styles
from overfocus.report.drawing.plot import QUIET, Plot
from overfocus.report.study.claim import claim, listed, seeds, short
from overfocus.statistics.estimate import mean_interval, means
from overfocus.study.comparison import Comparison
from overfocus.study.half_object import KEY, familiar, score_of
from overfocus.study.results import Results
from overfocus.study.run_key import Size

STEP, GAP, EDGE = 13, 26, 46
"""Pixels between two methods, between two groups, and for the axis below."""
PARTS = "attribution on "
ACCURACY_OF = "accuracy, "


Groups = dict[str, dict[MethodStyle, Interval]]
"""What the methods are compared in, and their means."""


def robustness(comparison: Comparison, size: Size) -> Plot | None:
    """Return the accuracy that attacks leave; None where they were not tried."""
    results = comparison.results
    named = [(f"robustness.{name}", "") for name in ("clean", "fgsm", "pgd_2", "pgd_8")]
    worst = results.measure("robustness.pgd_8")
    groups = _groups(results, size, named, ACCURACY_OF)
    if not groups or worst is None:
        return None
    title = claim(f"Accuracy under {worst.title.removeprefix(ACCURACY_OF)}", comparison.of(worst, size))
    return _dots(title, groups, "accuracy left", {})


def half_object(comparison: Comparison, size: Size) -> Plot | None:
    """Return the accuracy that half of the object leaves, by what hides the other half; None where it was not asked."""
    results = comparison.results
    half, known = results.half_object or results.measure("halves.half"), familiar(results.study.methods)
    named = [("halves.whole", "nothing hidden"), (KEY, "half hidden")]
    named += [(score_of(fill), f"{name}{' (seen)' * (fill in known)}") for fill, name in FILLINGS.items()]
    groups = _groups(results, size, named, "")
    if not groups or half is None:
        return None
    title = claim(half.title[:1].upper() + half.title[1:], comparison.of(half, size))
    return _dots(title, groups, "accuracy", {"chance": 1 / len(results.classes)})


def localization(comparison: Comparison, size: Size) -> Plot | None:
    """Return how well maps tell where the object is, beside what needs no model; None where that was not examined."""
    results = comparison.results
    trivial = {"centre_box_v2": "centre box", "whole_picture_v2": "whole picture"}
    key, unit = "localization.max_box_acc_v2", "MaxBoxAccV2, of images"
    if results.measure(key) is None:
        key, unit, trivial = "localization.pxap", "PxAP", {"pxap_even": "even map"}
    measure, groups = results.measure(key), _groups(results, size, [(key, " ")], "")
    if measure is None or not groups:
        return None
    found = {title: _overall(results, f"localization.{name}", size) for name, title in trivial.items()}
    found = {title: value for title, value in found.items() if np.isfinite(value)}
    return _dots(claim(measure.title, comparison.of(measure, size)), groups, unit, found)


def part_shares(comparison: Comparison, size: Size) -> Plot | None:
    """Return how much of the attribution lies on each part of the object, and beside it; None where the data has no
    masks of parts.
    """
    results = comparison.results
    parts = [each.key for each in results.measures if each.key.startswith("focus.part_")]
    inside = results.measure("focus.energy_inside")
    groups = _groups(results, size, [(key, "") for key in parts], PARTS)
    if not groups or inside is None:
        return None
    return _dots(
        claim("Attribution on the object", comparison.of(inside, size)), groups, "share of the attribution", {}
    )


def split_accuracies(comparison: Comparison, size: Size) -> Plot | None:
    """Return the accuracy on every test split, such as those of `totem` that lack a part; None where there is one."""
    results = comparison.results
    others = (m.key for m in results.measures if m.title.startswith("accuracy on ") and m.key.endswith(".accuracy"))
    splits = [results.split, *(key.removesuffix(".accuracy") for key in others)]
    groups = _groups(results, size, [(f"{split}.accuracy", split) for split in splits], "")
    if len(groups) < 2:
        return None
    hardest = min(groups, key=lambda split: float(np.mean([mean.value for mean in groups[split].values()])))
    measure = results.measure(f"{hardest}.accuracy") or results.measure("accuracy")
    assert measure is not None
    title = claim(f"Accuracy on {hardest}, the hardest split", comparison.of(measure, size))
    return _dots(title, groups, "accuracy", {"chance": 1 / len(results.classes)})


def followed_cues(comparison: Comparison, size: Size) -> Plot | None:
    """Return which cue the answers follow where cues name different classes; None where the data has no such split."""
    measures = [measure for measure in comparison.results.measures if measure.is_followed]
    groups = _groups(comparison.results, size, [(measure.key, "") for measure in measures], "answers on ")
    if not groups:
        return None
    title = "Where cues name different classes, which one do the answers follow?"
    return _dots(title, groups, "share of the answers", {})


def _groups(results: Results, size: Size, named: Sequence[tuple[str, str]], prefix: str) -> Groups:
    """Return a group for each key that any run has a number of; its title is that of the score unless given."""
    found, by_method = {}, method_styles(results.study.methods)
    for key, title in named:
        of = {by_method[m]: mean for m, mean in means(results.values(key, size), results.study.folds).items()}
        measure = results.measure(key)
        if of:
            found[title or (measure.title.removeprefix(prefix) if measure else key)] = of
    return found


def _overall(results: Results, key: str, size: Size) -> float:
    """Return the mean over all runs: it is the same number in each, but for images that were left out."""
    return mean_interval(np.concatenate(list(results.values(key, size).values()))).value


def _dots(title: str, groups: Groups, unit: str, references: Mapping[str, float]) -> Plot:
    every = {f"{name} {key.name}": mean for name, of in groups.items() for key, mean in of.items()}
    parts = [_means(name, of, brief=len(groups) > 1) for name, of in groups.items()]
    parts += [f"{name.capitalize()} {value:.3f}." for name, value in references.items()]
    lines = [
        Line(f"{name}: {k.name}".lstrip(" :"), [0.0], [i.value], [i.low], [i.high])
        for name, of in groups.items()
        for k, i in of.items()
    ]
    bars = " Bars are 95 % intervals." if any(mean.bounded for mean in every.values()) else ""
    return Plot(
        title, f"{' '.join(parts)} Means over {seeds(every)}.{bars}", lines, partial(_figure, groups, unit, references)
    )


def _means(title: str, of: Mapping[MethodStyle, Interval], *, brief: bool) -> str:
    """Return the means in words; of many groups without the intervals, which the tables have."""
    if not brief:
        return f"Means: {listed({key.name: mean for key, mean in of.items()})}."
    values = ", ".join(f"{short(key.name)} {mean.value:.3f}" for key, mean in of.items())
    return f"{title[:1].upper()}{title[1:]}: {values}."


def _figure(groups: Groups, unit: str, references: Mapping[str, float]) -> Figure:
    """Draw the groups below one another; a single one has its methods' names beside the dots."""
    single = len(groups) == 1
    shown = list(dict.fromkeys(key for of in groups.values() for key in of))
    handles = [] if single else [key.handle() for key in shown]
    step = 24 if single else STEP
    height = sum(step * len(of) + GAP for of in groups.values()) + EDGE
    figure = empty_figure(height, handles)
    axes = figure.add_subplot()
    draw_frame(axes, unit, grid="x")
    places = _places(groups, step)
    for of, y in zip(groups.values(), places, strict=True):
        _draw(axes, of, y)
    _name(axes, groups, places, single)
    axes.set_xlim(*_ends(groups, references))
    axes.set_ylim(max(float(y[-1]) for y in places) + GAP / 2, float(places[0][0]) - GAP / 2 - 8 * bool(references))
    _refer(axes, references)
    draw_legend(figure, handles)
    return figure


def _places(groups: Groups, step: int) -> list[np.ndarray]:
    """Return how far down each dot lies, in pixels."""
    found, top = [], 0.0
    for of in groups.values():
        found.append(top + step * np.arange(len(of)))
        top = float(found[-1][-1]) + GAP
    return found


def _draw(axes: Axes, of: Mapping[MethodStyle, Interval], y: np.ndarray) -> None:
    for (key, mean), at in zip(of.items(), y, strict=True):
        if mean.bounded:
            axes.plot([mean.low, mean.high], [at, at], color=key.hue, linewidth=2, alpha=0.55, solid_capstyle="butt")
        axes.plot([mean.value], [at], key.marker, color=key.hue, markersize=6.5, zorder=3)


def _name(axes: Axes, groups: Groups, places: Sequence[np.ndarray], single: bool) -> None:
    if single:
        axes.set_yticks(places[0], [key.label for of in groups.values() for key in of])
    else:
        axes.set_yticks([float(y.mean()) for y in places], list(map(chart_label, groups)))
        for above, below in pairwise(places):
            axes.axhline(float(above[-1] + below[0]) / 2, color=QUIET, linewidth=0.5, alpha=0.5)


def _ends(groups: Groups, references: Mapping[str, float]) -> tuple[float, float]:
    """Return ends that hold all means, and of their intervals what is possible: shares lie within 0 and 1."""
    values = [i.value for of in groups.values() for i in of.values()] + [*references.values()]
    share = min(values) >= 0 and max(values) <= 1
    ends = [v for of in groups.values() for i in of.values() for v in (i.low, i.high) if np.isfinite(v)]
    low, high = min(0.0, *values), max(values + ends) or 1.0
    return (low, min(1.02, 1.04 * high)) if share else (low, 1.04 * high)


def _refer(axes: Axes, references: Mapping[str, float]) -> None:
    """Draw what needs no model as lines down; names that would meet stand on both sides."""
    for number, (name, value) in enumerate(sorted(references.items(), key=itemgetter(1))):
        axes.axvline(value, color=QUIET, linewidth=1.2, linestyle=(0, (3, 2)), zorder=1)
        right = number > 0 or len(references) == 1
        axes.annotate(name, (value, 1), (3 if right else -3, 0), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="left" if right else "right", va="bottom",
                      color=QUIET)  # fmt: skip
