"""How the images are stored: formats, modes, sizes, depths, turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from overfocus.checks.check import SHOWN, Check, DataFinding, Example, Severity
from overfocus.checks.picture import Picture
from overfocus.checks.survey import Survey
from overfocus.core.words import counted, listed

LONG = 1.5
"""Longer side as a multiple of the shorter from which on a square cut at the centre loses a third of the picture."""
TINY = 32
"""Pixels of the shorter side below which a photograph shows next to nothing."""


class Stored(Check):
    """Formats, modes, sizes, depths and turns of the files."""

    name = "stored"
    title = "How the images are stored"
    question = "Of which formats, sizes and depths are the files, and what happens to them when they are read?"
    order = 40

    def evaluate(self, survey: Survey) -> DataFinding:
        """Say what the files are, and note what is done to those that are not upright 8-bit pictures."""
        pictures = survey.readable
        formats, modes = (
            Counter(getattr(picture, fact) for picture in pictures).most_common() for fact in ("format", "mode")
        )
        sides = sorted(min(picture.height, picture.width) for picture in pictures) or [0]
        special = _special(pictures)
        said = f"{listed([f'{n:,} {name}' for name, n in formats], 6)}; shorter side {sides[0]} to {sides[-1]} pixels."
        notes = [f"{counted(len(found), 'picture')} {what}." for what, found in special.items() if found]
        return DataFinding(
            Severity.NOTE if notes else Severity.FINE,
            " ".join((said, *notes)),
            {
                "formats": dict(formats),
                "modes": dict(modes),
                "shorter_side": {"smallest": sides[0], "median": sides[len(sides) // 2], "largest": sides[-1]},
                **{what: len(found) for what, found in special.items()},
            },
            ("stored as", "pictures"),
            [(name, f"{n:,}") for name, n in (*formats, *((f"mode {name}", n) for name, n in modes))],
            [Example(f"{len(found):,} {what}", found[:SHOWN]) for what, found in special.items() if found],
        )  # fmt: skip


def _special(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Return what is particular -> the pictures of which it is true."""
    return {
        "have an EXIF turn": [each for each in pictures if each.turn != 1],
        "have more than 8 bits": [each for each in pictures if each.deep],
        "have transparency": [each for each in pictures if each.transparent],
        f"are more than {LONG:g} times as long as wide": [
            each for each in pictures if max(each.height, each.width) > LONG * min(each.height, each.width)
        ],
        f"have a side under {TINY} pixels": [each for each in pictures if min(each.height, each.width) < TINY],
        "are of one colour": [each for each in pictures if each.flat],
    }
