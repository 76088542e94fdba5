"""Rows of pictures and of text on one sheet, by Pillow alone."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from math import ceil

from PIL import Image, ImageDraw, ImageFont

INK, FAINT, PAPER = (20, 20, 20), (95, 95, 95), (255, 255, 255)
EDGE, GAP, MARGIN = 20, 12, 168
"""Pixels: around the sheet, between pictures, and for the names of the rows."""
PAGE, CELL = 1600, 132
"""Widest sheet and narrowest column."""
TEXT, TITLE, LINE = 14, 19, 19
BAR = (72, 10)


@dataclass(frozen=True)
class Panel:
    """A row of pictures, one for each image; all of one size."""

    title: str
    pictures: list[Image.Image]
    scale: Image.Image | None = None
    """What its colours mean, from the lowest to the highest."""
    ends: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class SheetRow:
    """A row of text: for each image what stands on the left and on the right of its column."""

    title: str
    cells: list[tuple[str, str]]


def paint(title: str, lines: list[str], panels: list[Panel], rows: list[SheetRow]) -> Image.Image:
    """Draw title, lines of text, and below them the images, as many side by side as fit."""
    count = len(panels[0].pictures)
    cell = max(CELL, *(panel.pictures[0].width for panel in panels))
    bands = ceil(count / max(1, (PAGE - 2 * EDGE - MARGIN) // (cell + GAP)))
    columns = ceil(count / bands)
    width = max(2 * EDGE + MARGIN + columns * (cell + GAP) - GAP, 720)
    head = _head(title, lines, width - 2 * EDGE)
    tall = sum(panel.pictures[0].height + GAP for panel in panels) + len(rows) * LINE + 2 * GAP
    sheet = Image.new("RGB", (width, 2 * EDGE + sum(size for _, size, _ in head) + bands * tall - GAP), PAPER)
    pen, y = ImageDraw.Draw(sheet), EDGE
    for text, size, colour in head:
        pen.text((EDGE, y), text, colour, font(TITLE if colour == INK else TEXT))
        y += size
    for band in range(bands):
        some = slice(band * columns, (band + 1) * columns)
        _band(pen, sheet, y + band * tall, cell, panels, rows, some)
    return sheet


def _head(title: str, lines: list[str], width: int) -> list[tuple[str, int, tuple[int, int, int]]]:
    """Break title and lines to `width` pixels: (text, height, colour) each."""
    head = [(part, TITLE + 8, INK) for part in _broken(title, width, TITLE)]
    head += [(part, LINE, FAINT) for line in lines for part in _broken(line, width, TEXT)]
    text, size, colour = head[-1]
    return [*head[:-1], (text, size + GAP, colour)]


def _band(
    pen: ImageDraw.ImageDraw,
    sheet: Image.Image,
    y: int,
    cell: int,
    panels: list[Panel],
    rows: list[SheetRow],
    some: slice,
) -> None:
    """Draw the columns `some` of all panels and rows, from `y` down."""
    for panel in panels:
        _name_panel(pen, sheet, y, panel)
        for column, picture in enumerate(panel.pictures[some]):
            sheet.paste(picture, (_left(column, cell) + (cell - picture.width) // 2, y))
        y += panel.pictures[0].height + GAP
    for row in rows:
        pen.text((EDGE, y), shortened(row.title, MARGIN - GAP), FAINT, font(TEXT))
        for column, (name, number) in enumerate(row.cells[some]):
            room = font(TEXT).getlength(number)
            pen.text((_left(column, cell), y), shortened(name, cell - room - 8), INK, font(TEXT))
            pen.text((_left(column, cell) + cell - room, y), number, INK, font(TEXT))
        y += LINE


def _left(column: int, cell: int) -> int:
    return EDGE + MARGIN + column * (cell + GAP)


def _name_panel(pen: ImageDraw.ImageDraw, sheet: Image.Image, y: int, panel: Panel) -> None:
    """Write the name of a row of pictures, and what its colours mean."""
    for part in _broken(panel.title, MARGIN - GAP, TEXT)[:4]:
        pen.text((EDGE, y), part, INK, font(TEXT))
        y += LINE
    if panel.scale is not None:
        low, high = panel.ends
        x = EDGE + int(font(TEXT - 2).getlength(low)) + 5
        pen.text((EDGE, y + 2), low, FAINT, font(TEXT - 2))
        sheet.paste(panel.scale.resize(BAR), (x, y + 5))
        pen.text((x + BAR[0] + 5, y + 2), high, FAINT, font(TEXT - 2))


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, which is there on every machine."""
    return ImageFont.load_default(size)


@cache
def _has(letter: str) -> bool:
    """Whether the font can draw a letter: one that it lacks looks like one that there is not."""
    return letter == " " or (letter.isprintable() and _drawn(letter) != _drawn("\U0010fffe"))


def _drawn(letter: str) -> bytes:
    picture = Image.new("L", (2 * TEXT, 2 * TEXT))
    ImageDraw.Draw(picture).text((0, 0), letter, 255, font(TEXT))
    return picture.tobytes()


def readable(text: str, instead: str) -> str:
    """Return `text` in letters that the font has, accents left out; `instead` where more than half would be lost."""
    plain = unicodedata.normalize("NFKD", " ".join(text.split()))
    letters = [letter for letter in plain if not unicodedata.combining(letter)]
    drawn = "".join(letter if _has(letter) else "?" for letter in letters)
    return drawn if drawn and 2 * sum(map(_has, letters)) >= len(letters) else instead


def shortened(text: str, width: float, size: int = TEXT) -> str:
    """Cut `text` to `width` pixels; what was cut shows as an ellipsis."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _broken(text: str, width: int, size: int) -> list[str]:
    """Break `text` between words into lines of at most `width` pixels; a word that is longer by itself is cut."""
    lines = [""]
    for word in readable(text, "?").split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines += [shortened(word, width, size)]
    return [line for line in lines if line] or [""]
