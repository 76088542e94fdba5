"""Line charts of a diagnosis: one model's, or those of several models in one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite

from matplotlib.figure import Figure

from overfocus.diagnosis.section import Chart, Line
from overfocus.report.drawing.axes import (
    HEIGHT,
    MethodStyle,
    draw_frame,
    draw_identity,
    draw_legend,
    draw_line,
    empty_figure,
    ordered,
)
from overfocus.report.drawing.plot import QUIET, Plot

Span = tuple[float, float]


def line_chart(chart: Chart, y: Span | None = None) -> Plot:
    """Return `chart` as a plot; a chart without a finite number says "no answer".

    y: the ends of the axis, so that several charts share it; those of `y_span` unless given.
    """
    courses = " ".join(f"{line.name}: {_course(line)}." for line in chart.lines)
    figure = partial(_figure, chart, y or y_span([chart]))
    return Plot(chart.title, f"{chart.y} over {chart.x}. {courses}", chart.lines, figure)


def overlaid(charts: Sequence[Chart], names: Sequence[str]) -> Chart:
    """Return one chart of several models: of each the first line, and the control that it is compared with.

    Every line of every model in one frame cannot be read; the rest belongs into charts side by side with one axis.
    """
    lines = [line for chart, name in zip(charts, names, strict=True) for line in _foremost(chart, name)]
    return replace(charts[0], lines=tuple(lines))


def _foremost(chart: Chart, name: str) -> Iterator[Line]:
    main = next((line for line in chart.lines if not line.control), None)
    control = next((line for line in chart.lines if line.control), None)
    if main is not None:
        few = sum(not line.control for line in chart.lines) == 1
        yield replace(main, name=name if few and control is None else f"{name}: {main.name}")
    if control is not None:
        yield replace(control, name=f"{name}: {control.name}", low=[], high=[])


def y_span(charts: Sequence[Chart]) -> Span:
    """Return the ends of a y axis on which all `charts` fit; shares have 0 to 1 unless all of them are small."""
    values = [v for chart in charts for line in chart.lines for v in (*line.y, *line.low, *line.high) if isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if any(chart.diagonal for chart in charts) or (low >= 0 and 0.4 < high <= 1):
        return 0.0, 1.0
    room = 0.06 * (high - min(low, 0.0)) or 0.5
    return (0.0 if low >= 0 else low - room), high + room


def _styled(lines: Sequence[Line]) -> dict[MethodStyle, Line]:
    """Return each line by its style: one control is grey, several have the colour of the line that they follow."""
    single, found, last = sum(line.control for line in lines) == 1, {}, -1
    for line in lines:
        last += not line.control
        found[MethodStyle(line.name, -1 if line.control and single else last, line.control)] = line
    return found


def _figure(chart: Chart, ends: Span) -> Figure:
    lines = _styled(chart.lines)
    handles = [style.handle() for style in ordered(lines)]
    figure = empty_figure(HEIGHT + 60 * chart.diagonal, handles)
    axes = figure.add_subplot()
    draw_frame(axes, chart.x, chart.y)
    axes.set_ylim(*ends)
    axes.locator_params(nbins=6)
    if chart.diagonal:
        draw_identity(axes, "y = x")
    for style, line in lines.items():
        draw_line(axes, style, line)
    if not any(isfinite(y) for line in chart.lines for y in line.y):
        axes.text(0.5, 0.5, "no answer", transform=axes.transAxes, ha="center", va="center", color=QUIET)
    draw_legend(figure, handles)
    return figure


def _course(line: Line) -> str:
    """Say where a line begins and ends."""
    known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if isfinite(y)]
    if not known:
        return "no answer"
    (x0, y0), (x1, y1) = known[0], known[-1]
    return f"{y0:.3g} at {x0:.3g}, {y1:.3g} at {x1:.3g}"
