"""Line charts of a diagnosis, as SVG for a page and as PNG files.

Nothing but the value decides what is drawn: no style of the machine's matplotlib, no date, no random name. Colours are
those of Okabe and Ito, which people with any colour vision tell apart, and every line has a marker of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from io import StringIO
from math import isfinite
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from overfocus.core.files import replacing
from overfocus.diagnosis.section import Chart, Line
from overfocus.report.drawing.canvas import readable

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^DvP"
INK, FAINT, CONTROL, PAPER = "#262626", "#d4d4d4", "#767676", "#ffffff"
VARIABLES = {
    **{colour: f"--line-{number}" for number, colour in enumerate(PALETTE, 1)},
    INK: "--ink", FAINT: "--rule", CONTROL: "--control",
}  # fmt: skip
"""Colour -> the CSS variable that a page can set in its place."""
WIDTH, HEIGHT, ROW, TEXT = 480, 280, 19, 12
"""Of a chart, of a row of its legend, and of its letters: in pixels at natural size."""
WIDE = 27
"""Letters of a name from which on the legend has one column."""
Span = tuple[float, float]


def svg(chart: Chart, y: Span | None = None) -> str:
    """Return an <svg> element to be put into a page; it has a role, a title and a description, and no XML namespace.

    y: the ends of the axis, so that several charts share it; those of `span` unless given. Numbers that are not finite
    leave a gap, and a chart without any says "no answer".
    """
    with own_settings():
        text = StringIO()
        figure = _figure(chart, y or span([chart]))
        FigureCanvasSVG(figure)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _element(text.getvalue(), chart)


def png(chart: Chart, path: Path, y: Span | None = None) -> None:
    """Write the same chart on white paper to `path`, at twice its natural size."""
    with own_settings(), replacing(path) as aside:
        figure = _figure(chart, y or span([chart]))
        FigureCanvasAgg(figure)
        figure.savefig(aside, format="png", dpi=144, facecolor=PAPER, metadata={"Software": None})


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


def span(charts: Sequence[Chart]) -> Span:
    """Return the ends of a y axis on which all `charts` fit; shares have 0 to 1 unless all of them are small."""
    values = [v for chart in charts for line in chart.lines for v in (*line.y, *line.low, *line.high) if isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if any(chart.diagonal for chart in charts) or (low >= 0 and 0.4 < high <= 1):
        return 0.0, 1.0
    room = 0.06 * (high - min(low, 0.0)) or 0.5
    return (0.0 if low >= 0 else low - room), high + room


def colours(lines: Sequence[Line]) -> list[str]:
    """Return a colour for each line: one control is grey, several have the colour of the line that they follow."""
    single = sum(line.control for line in lines) == 1
    found, last = [], -1
    for line in lines:
        last += not line.control
        found.append(CONTROL if line.control and (single or last < 0) else PALETTE[last % len(PALETTE)])
    return found


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults and ours, whatever the user has set; that is as before afterwards."""
    own = {"svg.hashsalt": "overfocus", "svg.fonttype": "none", "font.size": TEXT, "font.family": "DejaVu Sans",
           "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
           "text.parse_math": False}  # fmt: skip
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context({**defaults, **own}):  # type: ignore[arg-type]
        yield


def _figure(chart: Chart, y: Span) -> Figure:
    rows = -(-(len(chart.lines) + chart.diagonal) // _columns(chart))
    height = (WIDTH - 60 if chart.diagonal else HEIGHT) + rows * ROW
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, chart, y)
    hues = colours(chart.lines)
    answered = [_draw(axes, line, hues[number], number) for number, line in enumerate(chart.lines)]
    if not any(answered):
        axes.text(0.5, 0.5, "no answer", transform=axes.transAxes, ha="center", va="center", color=CONTROL)
    _legend(figure, axes, chart)
    return figure


def _frame(axes: Axes, chart: Chart, y: Span) -> None:
    """Draw axes with few ticks, faint lines across and no box."""
    axes.set_xlabel(_told(chart.x))
    axes.set_ylabel(_told(chart.y))
    axes.set_ylim(*y)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(CONTROL)
    axes.tick_params(length=0, pad=6)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(nbins=6)
    if chart.diagonal:
        axes.plot([0, 1], [0, 1], color=CONTROL, linewidth=1, linestyle=(0, (1, 2)), label="y = x")
        axes.set_xlim(0, 1)
        axes.set_aspect("equal")


def _draw(axes: Axes, line: Line, colour: str, number: int) -> bool:
    """Draw a line with its band; return whether it has any number."""
    x, y = np.array(line.x, float), np.array(line.y, float)
    if len(line.low) == len(y) == len(line.high):
        low, high = np.array(line.low, float), np.array(line.high, float)
        axes.fill_between(x, low, high, where=np.isfinite(low + high + y), color=colour, alpha=0.15, linewidth=0)
    dashes, marker = ((0, (4, 3)), "") if line.control else ("-", MARKERS[number % len(MARKERS)])
    axes.plot(x, np.where(np.isfinite(y), y, np.nan), color=colour, linestyle=dashes, marker=marker, linewidth=1.8,
              markersize=4.5, clip_on=False, label=_told(line.name), zorder=3)  # fmt: skip
    return bool(np.isfinite(y).any())


def _legend(figure: Figure, axes: Axes, chart: Chart) -> None:
    """Name the lines below the axes, the highest first, so that names stand in the order of what they name."""
    handles = sorted(axes.get_lines(), key=lambda line: -_height(line.get_ydata()))
    figure.legend(handles=handles, loc="outside lower left", ncols=_columns(chart), frameon=False,
                  handlelength=2.6, borderaxespad=0.4, columnspacing=1.4, labelspacing=0.35)  # fmt: skip


def _height(values) -> float:
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else -np.inf


def _columns(chart: Chart) -> int:
    return 2 if max((len(line.name) for line in chart.lines), default=0) < WIDE else 1


def _told(text: str) -> str:
    """Return text in letters that the font has; the page names everything in full beside the chart."""
    short = text if len(text) <= 60 else text[:59] + "…"
    return readable(short, "?")


def _element(text: str, chart: Chart) -> str:
    """Turn a file of matplotlib's into an element whose names are its own, so that a page can hold many."""
    root = ElementTree.fromstring(text)
    own = "c" + sha256(text.encode()).hexdigest()[:10]
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        node.attrib = dict(_attributes(node.attrib, own))
    for parent in list(root.iter()):
        for node in [each for each in parent if each.tag in ("metadata", "style")]:
            parent.remove(node)  # a style in a page would hold for all of it
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib.update(
        {"class": "chart", "role": "img", "width": width, "height": height, "aria-labelledby": f"{own}-t {own}-d"}
    )
    for number, (tag, said) in enumerate((("title", chart.title), ("desc", described(chart)))):
        node = ElementTree.Element(tag, {"id": f"{own}-{tag[0]}"})
        node.text = _without_controls(said)
        root.insert(number, node)
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(given: Mapping[str, str], own: str) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        name = key.rpartition("}")[2]
        if name == "id":
            yield name, f"{own}-{value}"
        elif name == "href":
            yield name, value.replace("#", f"#{own}-")
        else:
            yield name, re.sub(r"#[0-9a-f]{6}\b", _variable, value).replace("url(#", f"url(#{own}-")


def _variable(found: re.Match[str]) -> str:
    name = VARIABLES.get(found[0])
    return f"var({name}, {found[0]})" if name else found[0]


def described(chart: Chart) -> str:
    """Say in words what the chart shows: each line from its first number to its last."""
    return f"{chart.y} over {chart.x}. " + " ".join(f"{line.name}: {_course(line)}." for line in chart.lines)


def _course(line: Line) -> str:
    known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if isfinite(y)]
    if not known:
        return "no answer"
    (x0, y0), (x1, y1) = known[0], known[-1]
    return f"{y0:.3g} at {x0:.3g}, {y1:.3g} at {x1:.3g}"


def _without_controls(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
