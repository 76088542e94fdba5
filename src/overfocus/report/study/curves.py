"""Lines of a study: accuracy by data size, training, hiding and reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from overfocus.core.interval import Interval
from overfocus.core.words import begun
from overfocus.diagnosis.section import Line
from overfocus.report.drawing.axes import (
    HEIGHT,
    MethodStyle,
    banded,
    draw_frame,
    draw_legend,
    draw_line,
    empty_figure,
    method_styles,
    ordered,
    span,
)
from overfocus.report.drawing.plot import Plot
from overfocus.report.study.claim import claim, interval_note, listed, named, short
from overfocus.statistics.estimate import means
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, Results
from overfocus.study.run_key import Size

DODGE = 0.035
"""How far methods stand apart where their intervals would cover each other, as a share of the axis."""


def accuracy_by_size(comparison: Comparison) -> Plot | None:
    """Return what the study is judged by over training images, on a log scale; None for a study with one data size."""
    sizes, metric = comparison.sizes, comparison.results.metric
    if len(sizes) < 2:
        return None
    found = [comparison.of(metric, size).means for size in sizes]
    drawn_lines = {
        key: _line(key.name, [_amount(size) for size in sizes], [of[method] for of in found])
        for method, key in method_styles(comparison.study.methods).items()
    }
    parts = [f"{size}: {listed({m: i for m, i in of.items() if i.answered})}." for size, of in zip(sizes, found)]  # noqa: B905
    text = f"{' '.join(parts)} {interval_note({f'{n} {m}': i for n, of in enumerate(found) for m, i in of.items()})}"
    figure = partial(_by_size, drawn_lines, sizes, metric.words)
    return Plot(_sizes_title(comparison), text, list(drawn_lines.values()), figure)


def _line(name: str, x: Sequence[float], of: Sequence[Interval]) -> Line:
    return Line(name, list(x), [each.value for each in of], [each.low for each in of], [each.high for each in of])


def _amount(size: Size) -> float:
    return float(size.per_class or size.fraction or 1.0)


def _sizes_title(comparison: Comparison) -> str:
    parts, metric = [], comparison.results.metric
    head = f"{begun(metric.words)} by data size"
    for size in comparison.sizes:
        of = comparison.of(metric, size)
        shown = {"above": of.shown("higher"), "below": of.shown("lower")}
        said = [f"{named(methods)} {where}" for where, methods in shown.items() if methods]
        if said:
            parts.append(f"{size}: {' and '.join(said)} {short(comparison.study.baseline)}")
    if not parts:
        return f"{head}: no method is shown to differ from the baseline"
    rest = "" if len(parts) == len(comparison.sizes) else "; otherwise no difference is shown"
    return f"{head}. {'; '.join(parts)}{rest}"


def _by_size(of: Mapping[MethodStyle, Line], sizes: Sequence[Size], name: str) -> Figure:
    handles = [key.handle() for key in ordered(of)]
    figure = empty_figure(HEIGHT, handles)
    axes = figure.add_subplot()
    draw_frame(axes, "training images of each class" if sizes[0].per_class else "part of the training images", name)
    step = _step([_amount(size) for size in sizes], len(of))
    for number, (key, each) in enumerate(of.items()):
        x, y, low, high = (np.array(v, float) for v in (each.x, each.y, each.low, each.high))
        x = x * step ** (number - (len(of) - 1) / 2)
        axes.plot(x, y, color=key.hue, marker=key.marker, markersize=5, linewidth=1.6, zorder=3)
        axes.vlines(x, low, high, color=key.hue, linewidth=1.6, zorder=2)
    _log_ticks(axes, sizes)
    axes.set_ylim(*_clipped([v for each in of.values() for v in each.y], of.values()))
    draw_legend(figure, handles)
    return figure


def _step(amounts: Sequence[float], methods: int) -> float:
    """Return the factor by which neighbours stand apart, so that those of one size stay together."""
    places = np.log(amounts)
    return float(np.exp(min(DODGE * np.ptp(places), 0.4 * np.diff(places).min() / methods)))


def _log_ticks(axes: Axes, sizes: Sequence[Size]) -> None:
    amounts = [_amount(size) for size in sizes]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(amounts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{size.per_class:,}" if size.per_class else f"{100 * _amount(size):g} %" for size in sizes])


def _clipped(values: Sequence[float], lines) -> tuple[float, float]:
    """Return ends that hold all `values`, and of their intervals as much as leaves the values readable."""
    known = np.array(values)[np.isfinite(values)]
    ends = np.array([v for each in lines for v in (*each.low, *each.high)])
    ends = ends[np.isfinite(ends)]
    if not len(known):
        return 0.0, 1.0
    extent = float(np.ptp(known)) or 0.05
    low = max(float(known.min()) - extent, float(min(ends.min(initial=np.inf), known.min())))
    high = min(float(known.max()) + extent, float(max(ends.max(initial=-np.inf), known.max())))
    return low - 0.06 * extent, min(high + 0.06 * extent, max(1.02, float(known.max())))


def training_curves(comparison: Comparison, size: Size) -> Plot | None:
    """Return accuracy and loss over epochs, with the lowest and highest seed as a band; None where all runs were
    evaluated once: points are no curve, and the tables have them.
    """
    found = {name: _trained(comparison.results, size, name) for name in ("accuracy", "loss")}
    if all(len(epochs) < 2 for epochs, _ in found["accuracy"].values()):
        return None
    last = means(
        {key.name: np.array(each[:, -1]) for key, (_, each) in found["accuracy"].items()}, comparison.study.folds
    )
    text = (
        f"Last epoch, accuracy: {listed(last)}. {interval_note(last)} Lines are means over seeds, bands reach from the "
        "lowest to the highest seed."
    )
    lines = [banded(key, x, y) for of in found.values() for key, (x, y) in of.items()]
    title = claim("Accuracy after the last epoch", comparison.of(ACCURACY, size))
    return Plot(title, text, lines, partial(_training, found))


def _trained(results: Results, size: Size, name: str) -> dict[MethodStyle, tuple[np.ndarray, np.ndarray]]:
    """Return for each method the epochs [E] that were evaluated, and a number of each run at them: [n, E]."""
    found = {}
    for method, key in method_styles(results.study.methods).items():
        courses = [{e.number: e.scores[results.split][name] for e in run.epochs if results.split in e.scores}
                   for run in results.of(method, size)]  # fmt: skip
        epochs = sorted(set().union(*courses))
        if epochs:
            found[key] = np.array(epochs, float), np.array([[c.get(e, np.nan) for e in epochs] for c in courses])
    return found


def _training(found: Mapping[str, Mapping[MethodStyle, tuple[np.ndarray, np.ndarray]]]) -> Figure:
    lines = {name: {key: banded(key, *each) for key, each in of.items()} for name, of in found.items()}
    handles = [key.handle() for key in ordered(lines["accuracy"])]
    figure = empty_figure(1.6 * HEIGHT, handles)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
    for axes, (name, of) in zip((top, bottom), lines.items(), strict=True):
        draw_frame(axes, "epoch" if axes is bottom else "", name)
        for key, each in of.items():
            draw_line(axes, key, each)
        # The loss of one bad seed at the start would leave no room for the rest.
        shown = [v for each in of.values() for v in ((each.low, each.high) if name == "accuracy" else (each.y,))]
        axes.set_ylim(*span(*map(np.array, shown), share=name == "accuracy"))
    bottom.xaxis.get_major_locator().set_params(integer=True)
    draw_legend(figure, handles)
    return figure
