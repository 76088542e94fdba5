"""Names that anybody gave, such as those of classes, files and methods, made fit to be shown."""

from __future__ import annotations

from dataclasses import dataclass

SHORT, FULL = 60, 200
"""Letters that are shown of a name, and those that it shows when it is pointed at."""
JOINERS = "\u200c\u200d"
"""Invisible, but letters of some scripts and parts of some emoji."""


@dataclass(frozen=True)
class Label:
    """A name as a page shows it."""

    short: str
    full: str
    """Longer, for a title; empty where `short` is all."""
    number: int = 0
    """Place among those that differ by colour, from 0."""

    @property
    def hue(self) -> str:
        """The class that gives it its colour."""
        return f"m{self.number % 8 + 1}"


def label(name: str, number: int = 0, most: int = SHORT) -> Label:
    """Return `name` in letters that can be seen, of which at most `most` are shown."""
    plain = visible(name[: FULL + 1])
    if len(plain) <= most:
        return Label(plain or "(no name)", "", number)
    full = plain if len(plain) <= FULL else plain[: FULL - 1] + "…"
    return Label(plain[: most - 1].rstrip() + "…", full, number)


def visible(text: str, keep: str = JOINERS) -> str:
    """Return `text` with a replacement character for every letter that cannot be seen or would turn others around."""
    return "".join(letter if letter.isprintable() or letter in keep else "\ufffd" for letter in text)


def file_name(path: str) -> str:
    """Return the last part of a path, which distinguishes images."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path
