"""Does looking wider pay? Every run in the plane of how wide it looks and how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite, nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from overfocus.diagnosis.section import Line
from overfocus.report.drawing.axes import HEIGHT, MethodStyle, draw_frame, draw_legend, empty_figure, method_styles
from overfocus.report.drawing.callout import label_clouds
from overfocus.report.drawing.plot import PAPER, Plot
from overfocus.report.study.claim import claim, listed, named, short
from overfocus.statistics.correlation import Region, mean_region, rank_correlation
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, Measure, Results
from overfocus.study.run_key import Size

ROOM = 0.4
"""How far the frame may grow for a region, in extents of the runs on each side; a region of 3 seeds is larger."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The runs of a method, one row for each seed that has both numbers."""

    key: MethodStyle
    points: np.ndarray
    """[n, 2]."""
    region: Region | None

    @property
    def mean(self) -> np.ndarray:
        """[2]."""
        return self.points.mean(axis=0)


def spread_against_accuracy(comparison: Comparison, size: Size) -> Plot | None:
    """Return how wide every run looks against how often it is right; None where spread was not examined."""
    results = comparison.results
    measure = next(iter(results.headline_measures("spread")), None)
    if measure is None:
        return None
    clouds = _clouds(results, measure, size)
    if not clouds:
        return None
    lines = [Line(each.key.name, each.points[:, 0].tolist(), each.points[:, 1].tolist()) for each in clouds]
    text = f"{_means(clouds)} {_occluded(comparison, size)}{_together(results, measure, size)}"
    label = ", ".join(filter(None, (measure.title, measure.unit)))
    return Plot(_title(comparison, measure, size), text, lines, partial(_figure, clouds, label))


def _clouds(results: Results, measure: Measure, size: Size) -> list[Cloud]:
    wide, right = results.values(measure, size), results.values(ACCURACY, size)
    found = []
    for method, key in method_styles(results.study.methods).items():
        points = np.stack((wide[method], right[method]), axis=1)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            found.append(Cloud(key, points, mean_region(points, results.study.folds)))
    return found


def _title(comparison: Comparison, measure: Measure, size: Size) -> str:
    """Say which methods are shown to have wider or narrower maps than the baseline, and to be more or less accurate."""
    wide, right = (comparison.of(each, size) for each in (measure, ACCURACY))
    base = short(comparison.study.baseline)
    groups: dict[tuple[str, str], list[str]] = {}
    for method in comparison.study.others:
        maps = {"higher": "wider", "lower": "narrower", "": ""}[wide.effects[method].direction]
        does = {"higher": "more", "lower": "less", "": ""}[right.effects[method].direction]
        groups.setdefault((maps, does), []).append(method)
    rest = groups.pop(("", ""), [])
    said = [f"{named(methods)} {_does(*what, many=len(methods) > 1)}" for what, methods in groups.items()]
    if said:
        return f"Against {base}: {'; '.join(said)}" + (f"; neither is shown of {named(rest)}" if rest else "")
    if not rest:
        return f"How wide {base} looks by its map, and how often it is right"
    if min(wide.seeds, right.seeds) < 2:
        return "Spread against accuracy, from one seed: a difference may be luck"
    return f"No method is shown to have wider maps or to be more accurate than {base}"


def _does(maps: str, does: str, *, many: bool) -> str:
    parts = [f"{'have' if many else 'has'} {maps} maps"] if maps else []
    parts += [f"{'are' if many else 'is'} {does} accurate"] if does else []
    return " and ".join(parts)


def _means(clouds: Sequence[Cloud]) -> str:
    values = ", ".join(f"{short(each.key.name)} {each.mean[0]:.3f} and {each.mean[1]:.3f}" for each in clouds)
    joint = any(each.region is not None for each in clouds)
    few = min((len(each.points) for each in clouds if each.region is not None), default=0)
    wide = " From so few seeds they are wide, and may reach beyond the frame." if 0 < few < 5 else ""
    shown = f" Large marks are means, ellipses their joint 95 % regions.{wide}" if joint else " Large marks are means."
    return f"Spread and accuracy, means: {values}.{shown}"


def _occluded(comparison: Comparison, size: Size) -> str:
    """Say how wide the methods look by occlusion of the picture, which no method acts on; empty where not asked."""
    measure = comparison.results.measure("spread.occlusion_area_predicted")
    if measure is None:
        return ""
    of = comparison.of(measure, size)
    return f"{claim('By occlusion of the picture', of)} (means: {listed(of.means)}). "


def _together(results: Results, measure: Measure, size: Size) -> str:
    """Say how spread and accuracy go together over the runs of each seed."""
    both = [np.stack(list(results.values(each, size).values())) for each in (measure, ACCURACY)]
    found = rank_correlation(*both)
    if results.study.folds:  # whose runs are not independent
        found = replace(found, low=nan, high=nan)
    if not found.answered:
        return f"How they go together is not known: {found.note}."
    verdict = "they are not shown to go together"
    if found.low > 0 or found.high < 0:
        verdict = f"what has wider maps is {'more' if found.value > 0 else 'less'} often right"
    if not isfinite(found.low):
        verdict = "no interval"
    return (
        f"Rank correlation (Spearman) over {found.n} runs, each less the mean of its seed: {found:.2f}; "
        f"{verdict}. It is of these methods, and says nothing of the cause."
    )


def _figure(clouds: Sequence[Cloud], label: str) -> Figure:
    """Draw with names beside the clouds, or, where they do not fit, with a legend below."""
    figure = empty_figure(HEIGHT + 40)
    axes = _plane(figure, clouds, label)
    if label_clouds(figure, axes, [(each.key, each.points) for each in clouds]):
        return figure
    handles = [each.key.handle() for each in clouds]
    figure = empty_figure(HEIGHT + 40, handles)
    _plane(figure, clouds, label)
    draw_legend(figure, handles)
    return figure


def _plane(figure: Figure, clouds: Sequence[Cloud], label: str) -> Axes:
    axes = figure.add_subplot()
    draw_frame(axes, label, "accuracy", grid="both")
    for number, set_ends in enumerate((axes.set_xlim, axes.set_ylim)):
        set_ends(_ends(clouds, number))
    axes.locator_params(nbins=6)
    for each in clouds:
        hue, marker = each.key.hue, each.key.marker
        if each.region is not None:
            x, y = each.region.outline().T
            if _within(axes, x, y):  # several that cover the frame would only darken it
                axes.fill(x, y, facecolor=hue, edgecolor="none", alpha=0.09, zorder=1)
            axes.plot(x, y, color=hue, linewidth=1.1, zorder=2)
        axes.plot(*each.points.T, marker, color=hue, markersize=5, alpha=0.75, zorder=3, markeredgewidth=0)
        axes.plot(*each.mean, marker, color=hue, markersize=9, zorder=4, markeredgecolor=PAPER, markeredgewidth=1.2)
    return axes


def _within(axes: Axes, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether an outline lies within the frame."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return bool(left <= x.min() and x.max() <= right and bottom <= y.min() and y.max() <= top)


def _ends(clouds: Sequence[Cloud], number: int) -> tuple[float, float]:
    """Return the ends of an axis: all runs are within, and of the regions as much as leaves the runs readable."""
    values = np.concatenate([each.points[:, number] for each in clouds])
    low, high = float(values.min()), float(values.max())
    extent = high - low or 0.05 * abs(high) or 0.05
    borders = [each.region.outline()[:, number] for each in clouds if each.region is not None]
    ends = np.concatenate(borders) if borders else values
    low, high = (max(low - ROOM * extent, min(low, float(ends.min()))),
                 min(high + ROOM * extent, max(high, float(ends.max()))))  # fmt: skip
    low, high = low - 0.08 * extent, high + 0.08 * extent
    shares = values.min() >= 0 and values.max() <= 1
    return (max(low, -0.02), min(high, 1.02)) if shares else (low, high)
