"""Images side by side: a row of pictures for each thing that is shown of them, with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from textwrap import wrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from overfocus.report.drawing.letters import drawable
from overfocus.report.drawing.plot import INK, QUIET, default_settings

EDGE, GAP, MARGIN, PAGE, COLUMN = 20, 12, 140, 1600, 132
"""Pixels: around the sheet, between pictures, for the titles of rows; widest sheet and narrowest column."""
TEXT, LINE, HEAD = 12, 17, 17
"""Pixels: letters, lines of text, and letters of the head."""
LETTER = 0.58
"""Width of a usual letter, as a share of its height."""
BAR = (10, 60)
"""Height and width of a scale of colours."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A row of pictures, one for each image."""

    title: str
    pictures: Sequence[Image.Image]
    captions: Sequence[Sequence[str]] = ()
    """The lines of text below each picture."""
    colours: Colormap | None = None
    ends: tuple[str, str] = ("0", "its max")
    """What the lowest and the highest colour mean."""


def contact_sheet(title: str, lines: Sequence[str], panels: Sequence[Panel]) -> Image.Image:
    """Return an RGB picture of the panels below one another, as many images side by side as fit on 1600 pixels."""
    count = len(panels[0].pictures)
    column = max(COLUMN, *(picture.width for panel in panels for picture in panel.pictures))
    bands = ceil(count / max(1, (PAGE - 2 * EDGE - MARGIN + GAP) // (column + GAP)))
    columns = ceil(count / bands)
    sheet = _Sheet(max(2 * EDGE + MARGIN + columns * (column + GAP) - GAP, 720), column)
    with default_settings():
        sheet.head(title, lines)
        for first in range(0, count, columns):
            for panel in panels:
                sheet.row(panel, range(first, min(first + columns, count)))
        return sheet.painted()


class _Sheet:
    """A figure that grows downwards; it is as tall as what was put on it."""

    def __init__(self, width: int, column: int) -> None:
        self.width, self.column, self.y = width, column, EDGE
        self.texts: list[tuple[int, int, str, int, str, int]] = []
        self.pictures: list[tuple[int, int, np.ndarray]] = []

    def head(self, title: str, lines: Sequence[str]) -> None:
        self.y = self.write(EDGE, self.y, title, self.width - 2 * EDGE, size=HEAD) + LINE // 2
        for line in lines:
            self.y = self.write(EDGE, self.y, line, self.width - 2 * EDGE, QUIET)
        self.y += GAP

    def row(self, panel: Panel, numbers: Sequence[int]) -> None:
        """Put the images `numbers` of a panel on the sheet."""
        tallest = max(panel.pictures[number].height for number in numbers)
        bottom = self._title(panel)
        for place, number in enumerate(numbers):
            x, y = EDGE + MARGIN + place * (self.column + GAP), self.y + tallest + GAP // 3
            self.pictures.append((x, self.y, np.asarray(panel.pictures[number].convert("RGB"))))
            for line in panel.captions[number] if panel.captions else ():
                y = self.write(x, y, line, self.column, rows=1)
            bottom = max(bottom, y if panel.captions else y - GAP // 3)
        self.y = bottom + GAP

    def _title(self, panel: Panel) -> int:
        """Write the title of a row and what its colours mean; return where that ends."""
        y = self.write(EDGE, self.y, panel.title, MARGIN - GAP)
        if panel.colours is not None:
            shades = panel.colours(np.linspace(0, 1, BAR[1]))[:, :3]
            self.pictures.append((EDGE, y + 4, np.broadcast_to(np.uint8(255 * shades + 0.5), (*BAR, 3))))
            y = self.write(EDGE, y + 8 + BAR[0], f"{panel.ends[0]} – {panel.ends[1]}", MARGIN - GAP, QUIET)
        return y

    def write(self, x: int, y: int, text: str, room: int, colour: str = INK, size: int = TEXT, rows: int = 4) -> int:
        """Write text, broken to `room` pixels and cut after so many rows; return where that ends."""
        letters = int(room / (LETTER * size))
        for part in wrap(drawable(text), letters, max_lines=rows, placeholder="…"):
            self.texts.append((x, y, part, room, colour, size))
            y += LINE + size - TEXT
        return y

    def painted(self) -> Image.Image:
        height = self.y - GAP + EDGE
        figure = Figure((self.width / 72, height / 72), dpi=72, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        for x, y, text, room, colour, size in self.texts:
            clip = Bbox.from_bounds(x, 0, room, height)  # a line of wide letters is longer than usual
            figure.text(x / self.width, 1 - y / height, text, color=colour, size=size, va="top", clip_box=clip)
        for x, y, picture in self.pictures:
            figure.figimage(picture, x, height - y - len(picture), origin="upper")
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
