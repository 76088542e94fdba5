"""What charts share: the frame, lines and legend, and the colour and marker of each method, model or line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from overfocus.diagnosis.section import Line
from overfocus.report.drawing.letters import drawable
from overfocus.report.drawing.plot import FAINT, HUES, INK, QUIET, WIDTH
from overfocus.report.label import label

MARKERS = "os^DvPX<>"
"""One more than there are colours, so that both together distinguish many methods."""
HEIGHT, ROW = 290, 18
"""Of a frame and of a row of its legend, in pixels."""
WIDE = 22
"""Letters of a name from which on the legend has one column."""
LETTERS, LEGEND_LETTERS = 44, 56
"""Letters of a name that a chart and its legend show; the page has the full name."""
PIXEL = 1 / 72
"""In inches, which matplotlib counts in."""
DASHES = (0, (4, 3))


@dataclass(frozen=True)
class MethodStyle:
    """How a method, a model or a line is drawn."""

    name: str
    number: int
    """Its place, from 0; below 0 for a control of all lines, which is grey."""
    dashed: bool = False
    """Whether it is a control, which has no markers."""

    @property
    def hue(self) -> str:
        """Its colour on paper."""
        return HUES[self.number % len(HUES)] if self.number >= 0 else QUIET

    @property
    def marker(self) -> str:
        """Its marker."""
        return MARKERS[self.number % len(MARKERS)]

    @property
    def label(self) -> str:
        """Its name as a chart shows it."""
        return chart_label(self.name)

    def handle(self) -> Line2D:
        """Return its entry in a legend."""
        name = chart_label(self.name, LEGEND_LETTERS)
        if self.dashed:
            return plain_handle(name, dashed=True, color=self.hue)
        return Line2D([], [], color=self.hue, marker=self.marker, markersize=5, linewidth=1.8, label=name)


def method_styles(methods: Sequence[str]) -> dict[str, MethodStyle]:
    """Return the style of each method of a study, the same in all its charts."""
    return {method: MethodStyle(method, number) for number, method in enumerate(methods)}


def chart_label(name: str, most: int = LETTERS) -> str:
    """Return a name in letters that the font has, cut after `most` of them."""
    return drawable(label(name, most=most).short)


def empty_figure(height: float, handles: Sequence[Line2D] = ()) -> Figure:
    """Return an empty figure for a frame of `height` pixels and a legend of `handles` below it."""
    rows = -(-len(handles) // _columns(handles))
    return Figure(figsize=(WIDTH * PIXEL, (height + rows * ROW) * PIXEL), layout="constrained")


def draw_frame(axes: Axes, x: str = "", y: str = "", *, grid: str = "y") -> None:
    """Draw axes with few ticks, faint lines across and no box. grid: the axis whose ticks have lines, or "both"."""
    axes.set_xlabel(drawable(x, ""))
    axes.set_ylabel(drawable(y, ""))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.spines["bottom"].set_visible(grid != "x")
    axes.tick_params(length=0, pad=5)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _columns(handles: Sequence[Line2D]) -> int:
    return 2 if max((len(str(each.get_label())) for each in handles), default=0) < WIDE else 1


def draw_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Name the lines below the frame."""
    if handles:
        figure.legend(handles=list(handles), loc="outside lower left", ncols=_columns(handles), frameon=False,
                      handlelength=2.2, borderaxespad=0.3, columnspacing=1.4, labelspacing=0.35)  # fmt: skip


def plain_handle(name: str, *, dashed: bool = False, color: str = INK) -> Line2D:
    """Return the entry of a legend for a line without markers."""
    return Line2D([], [], color=color, linewidth=1.6, linestyle=DASHES if dashed else "-", label=name)


def draw_line(axes: Axes, style: MethodStyle, line: Line) -> None:
    """Draw a line with its band and at most ten or so markers; numbers that are not finite leave a gap."""
    x, y, low, high = (np.array(values, float) for values in (line.x, line.y, line.low, line.high))
    if len(low) == len(y) == len(high):
        known = np.isfinite(low + high)
        axes.fill_between(x, low, high, where=known, color=style.hue, alpha=0.13, linewidth=0)  # type: ignore[arg-type]
    y = np.where(np.isfinite(y), y, np.nan)
    if line.control:
        axes.plot(x, y, color=style.hue, linestyle=DASHES, linewidth=1.4, zorder=2)
        return
    every = max(1, len(x) // 10)
    axes.plot(x, y, color=style.hue, marker=style.marker, markersize=4.6, markevery=(style.number % every, every),
              linewidth=1.8, zorder=3, clip_on=False)  # fmt: skip


def draw_identity(axes: Axes, name: str) -> None:
    """Draw y = x over [0, 1], with its name."""
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
    axes.annotate(name, (0.04, 0.04), (5, -3), textcoords="offset points", va="center", color=QUIET)
    axes.set_xlim(0, 1)


def span(*values: np.ndarray, share: bool = True) -> tuple[float, float]:
    """Return the ends of an axis on which all `values` fit with some room; a share keeps within 0 and 1."""
    known = np.concatenate([np.ravel(each) for each in values] or [np.zeros(0)])
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
    return (max(low - room, min(0.0, low)), min(high + room, max(1.02, high))) if share else (low - room, high + room)


def banded(style: MethodStyle, x: np.ndarray, y: np.ndarray) -> Line:
    """Return the mean over runs of `y` [n, E], and the lowest and highest run."""
    known = np.ma.masked_invalid(y)
    values = (known.mean(axis=0), known.min(axis=0), known.max(axis=0))
    return Line(style.name, x.tolist(), *(np.ma.filled(each, np.nan).tolist() for each in values))


def ordered(lines: Mapping[MethodStyle, Line]) -> list[MethodStyle]:
    """Return styles in the order in which their lines end, the highest first."""

    def height(style: MethodStyle) -> float:
        known = [y for y in lines[style].y if np.isfinite(y)]
        return -known[-1] if known else np.inf

    return sorted(lines, key=height)
