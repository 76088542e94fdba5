"""What a classifier leans on: one thing in the pictures, how much of its accuracy goes with it, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import Any

from overfocus.metrics.score import Score


@dataclass(frozen=True)
class Lean:
    """Something that answers are read from, with the share of them that goes with it."""

    cue: str
    """Its kind, by the name of what looked for it: "border", "mark", "background", "colour" ..."""
    title: str
    """What it is, in a few words: "the frame, an eighth of the side"."""
    share: Score
    """Share of the accuracy above chance that is lost where this, and only this, is another class's, less what is lost
    where it is another picture's of the same class; with an interval corrected for how much was tried.
    """
    found: bool = False
    """Whether it is a finding: nothing that names the object, and its share too large for chance, by the rule of what
    looked for it.
    """
    intended: bool = False
    """Whether the network is meant to read it: the object itself. Such a one is ranked and never a finding."""
    classes: tuple[int, ...] = ()
    """The classes that lean on it; empty for all of them."""
    box: tuple[float, float, float, float] | None = None
    """Where it is: (x0, y0, x1, y1) as shares of width and height; None for what has no place."""
    rows: tuple[int, ...] = ()
    """Pictures of the sample that show it, the most telling first."""
    advice: str = ""
    """The command or deed that follows."""

    def as_dict(self, names: list[str]) -> dict[str, Any]:
        """Return what JSON can hold; names: those of the classes."""
        return {
            "cue": self.cue, "title": self.title, "share": self.share.as_dict(), "found": self.found,
            "intended": self.intended, "classes": [names[each] for each in self.classes],
            "box": None if self.box is None else list(self.box), "rows": list(self.rows), "advice": self.advice,
        }  # fmt: skip


def ranked(leans: Iterable[Lean]) -> tuple[Lean, ...]:
    """Return the leans in the order in which they are told: by the lower end of the interval, the largest first; one
    without an answer last.
    """

    def place(lean: Lean) -> tuple[bool, float]:
        end = lean.share.value if isnan(lean.share.low) else lean.share.low
        return isnan(end), -end

    return tuple(sorted(leans, key=place))
