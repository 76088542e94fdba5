"""Text in the letters of the font that charts and pictures are drawn in."""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from overfocus.report.drawing.plot import FONT


@cache
def _font() -> FT2Font:
    return FT2Font(findfont(FONT))  # comes with matplotlib


def _has(letter: str) -> bool:
    return letter.isprintable() and _font().get_char_index(ord(letter)) > 0


def drawable(text: str, fallback: str = "?") -> str:
    """Return `text` with "?" for each letter that the font lacks, or `fallback` where that is more than half of them.

    Spaces are collapsed, and accents that are no part of a letter of the font are dropped.
    """
    composed = unicodedata.normalize("NFKC", " ".join(text.split()))
    letters = [letter for letter in composed if not unicodedata.combining(letter)]
    drawn = "".join(letter if _has(letter) else "?" for letter in letters)
    return drawn if drawn and 2 * sum(map(_has, letters)) >= len(letters) else fallback
