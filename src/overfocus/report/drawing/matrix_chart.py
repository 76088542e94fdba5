"""A matrix of counts: a cell is filled by its share of its row, blue where row and column agree."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from overfocus.diagnosis.section import Matrix
from overfocus.report.drawing.axes import PIXEL, chart_label
from overfocus.report.drawing.plot import FAINT, HUES, PAPER, WIDTH, Plot

AGREE, DIFFER = HUES[0], HUES[1]
PALEST, DARKEST = 0.1, 0.6
"""Opacities of a cell that has next to nothing of its row, and of one that has all: numbers in it stay readable."""
LETTERS = 18
"""Letters of a name beside the matrix, which the tables show in full."""
CELL, MARGIN = 24, 150
"""Pixels: the height of a row at least, and what the names above take."""


def matrix_chart(matrix: Matrix) -> Plot:
    """Return `matrix` as a plot, with the counts in its cells."""
    courses = " ".join(
        f"{name}: {', '.join(f'{count:,} {matrix.x} {head}' for head, count in _known(matrix, row)) or 'none'}."
        for row, name in enumerate(matrix.rows)
    )
    return Plot(matrix.title, f"Rows are {matrix.y}, columns {matrix.x}. {courses}", (), partial(_figure, matrix))


def _known(matrix: Matrix, row: int) -> list[tuple[str, int]]:
    return [(head, count) for head, count in zip(matrix.columns, matrix.counts[row], strict=True) if count]


def _figure(matrix: Matrix) -> Figure:
    rows, columns = len(matrix.rows), len(matrix.columns)
    height = MARGIN + rows * max(CELL, min(40, (WIDTH - MARGIN) // columns))
    figure = Figure(figsize=(WIDTH * PIXEL, height * PIXEL), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, columns), ylim=(rows, 0), xlabel=matrix.x, ylabel=matrix.y)
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=4, top=False, bottom=False, labeltop=True, labelbottom=False)
    names = [chart_label(name, LETTERS) for name in matrix.columns]
    turned = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if max(map(len, names)) > 3 else {}
    axes.set_xticks([k + 0.5 for k in range(columns)], names, **turned)
    axes.set_yticks([k + 0.5 for k in range(rows)], [chart_label(name, LETTERS) for name in matrix.rows])
    _draw_cells(axes, matrix, 11 if columns <= 8 else 9)
    axes.hlines(range(rows + 1), 0, columns, color=PAPER, linewidth=1.5)
    axes.vlines(range(columns + 1), 0, rows, color=PAPER, linewidth=1.5)
    return figure


def _draw_cells(axes: Axes, matrix: Matrix, size: int) -> None:
    for row, counts in enumerate(matrix.counts):
        whole = sum(counts)
        for column, count in enumerate(counts):
            hue, share = (AGREE if row == column else DIFFER), count / max(whole, 1)
            fill = (hue, PALEST + (DARKEST - PALEST) * share) if count else (FAINT, 0.35)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=fill[0], alpha=fill[1], linewidth=0))
            if count:
                axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", fontsize=size)
