"""The frame that the charts of a study share, and how methods are told apart in it: by colour and by marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from overfocus.diagnosis.section import Line
from overfocus.report.drawing.canvas import readable
from overfocus.report.drawing.drawn import FAINT, HUES, INK, QUIET, WIDTH
from overfocus.report.label import label

MARKERS = "os^DvPX<>"
"""One more than there are colours, so that both together tell many methods apart."""
HEIGHT, ROW = 290, 18
"""Of a frame and of a row of its legend, in pixels."""
WIDE = 22
"""Letters of a name from which on the legend has one column."""
LETTERS = 44
"""Letters of a name that a chart shows; the page names it in full."""
PIXEL = 1 / 72
"""In inches, which matplotlib counts in."""


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn."""

    name: str
    number: int
    """Its place in the study, from 0."""

    @property
    def hue(self) -> str:
        """Its colour on paper."""
        return HUES[self.number % len(HUES)]

    @property
    def marker(self) -> str:
        """Its marker."""
        return MARKERS[self.number % len(MARKERS)]

    @property
    def told(self) -> str:
        """Its name in letters that the font has."""
        return readably(self.name)

    def handle(self) -> Line2D:
        """Return what stands for it in a legend."""
        return Line2D([], [], color=self.hue, marker=self.marker, markersize=5, linewidth=1.8, label=self.told)


def method_styles(methods: Sequence[str]) -> dict[str, MethodStyle]:
    """Return how each method of a study is drawn, in all its charts alike."""
    return {method: MethodStyle(method, number) for number, method in enumerate(methods)}


def readably(name: str) -> str:
    """Return a name in letters that the font has, cut where it is long."""
    return readable(label(name, most=LETTERS).short, "?")


def sheet(height: float, rows: int = 0) -> Figure:
    """Return an empty figure for a frame of `height` pixels and a legend of so many rows."""
    return Figure(figsize=(WIDTH * PIXEL, (height + rows * ROW) * PIXEL), layout="constrained")


def frame(axes: Axes, x: str = "", y: str = "", *, grid: str = "y") -> None:
    """Draw axes with few ticks, faint lines across and no box. grid: the axis whose ticks have lines, or "both"."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.spines["bottom"].set_visible(grid != "x")
    axes.tick_params(length=0, pad=5)
    axes.grid(axis=grid, color=FAINT, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def columns(names: Sequence[str]) -> int:
    """Return how many columns a legend of these names has."""
    return 2 if max(map(len, names), default=0) < WIDE else 1


def rows(names: Sequence[str]) -> int:
    """Return how many rows a legend of these names has."""
    return -(-len(names) // columns(names))


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Name the lines below the frame."""
    if not handles:
        return
    figure.legend(handles=list(handles), loc="outside lower left", frameon=False, handlelength=2.2, borderaxespad=0.3,
                  ncols=columns([str(each.get_label()) for each in handles]), columnspacing=1.4,
                  labelspacing=0.35)  # fmt: skip


def plain_handle(name: str, *, dashed: bool = False) -> Line2D:
    """Return what stands in a legend for a kind of line that every method has."""
    return Line2D([], [], color=INK, linewidth=1.6, linestyle=(0, (4, 3)) if dashed else "-", label=name)


def line(
    axes: Axes, key: MethodStyle, x: np.ndarray, y: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None = None
) -> None:
    """Draw a line with markers, few enough to be told apart, and its band; numbers that are not finite leave a gap."""
    if ends is not None:
        known = np.isfinite(ends[0] + ends[1])
        axes.fill_between(x, *ends, where=known, color=key.hue, alpha=0.13, linewidth=0)  # type: ignore[arg-type]
    every = max(1, len(x) // 10)
    axes.plot(x, y, color=key.hue, marker=key.marker, markersize=4.6, markevery=(key.number % every, every),
              linewidth=1.8, zorder=3, clip_on=False)  # fmt: skip


def control(axes: Axes, key: MethodStyle, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the line that a method's own is compared with."""
    axes.plot(x, y, color=key.hue, linestyle=(0, (4, 3)), linewidth=1.4, zorder=2)


def span(*values: np.ndarray, share: bool = True) -> tuple[float, float]:
    """Return the ends of an axis on which all `values` fit with some room; a share keeps within 0 and 1."""
    known = np.concatenate([np.ravel(each) for each in values] or [np.zeros(0)])
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = 0.07 * (high - low) or 0.05 * abs(high) or 0.05
    return (max(low - room, min(0.0, low)), min(high + room, max(1.02, high))) if share else (low - room, high + room)


def banded(key: MethodStyle, x: np.ndarray, y: np.ndarray) -> Line:
    """Return the mean over runs of `y` [n, E], and the lowest and highest run."""
    with np.errstate(all="ignore"):
        known = np.isfinite(y)
        mean = np.where(known, y, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
        low = np.where(known.any(axis=0), np.where(known, y, np.inf).min(axis=0), np.nan)
        high = np.where(known.any(axis=0), np.where(known, y, -np.inf).max(axis=0), np.nan)
    return Line(key.name, x.tolist(), mean.tolist(), low.tolist(), high.tolist())


def ordered(of: Mapping[MethodStyle, Line]) -> list[MethodStyle]:
    """Return methods as their lines end, the highest first, so that names stand in the order of what they name."""

    def height(key: MethodStyle) -> float:
        known = [y for y in of[key].y if np.isfinite(y)]
        return -known[-1] if known else np.inf

    return sorted(of, key=height)
