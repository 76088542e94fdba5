"""Errors that say where, what, and what instead."""

from collections.abc import Iterable
from difflib import get_close_matches


class OverfocusError(Exception):
    """Invalid input; a one-line message says where it happened, what is wrong, and what to do instead."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the known name closest to `name`, or all of them where none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"


class UnknownName(OverfocusError, LookupError):
    """A name that is not known, with the nearest one that is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {what} {name!r}; {nearest(name, known)}")
