"""The sections of an examination, in the order in which they are evaluated. The folder is the registry."""

from __future__ import annotations

from collections.abc import Iterable

from overfocus.core.errors import UnknownName
from overfocus.core.registry import classes_in
from overfocus.diagnosis import sections as folder
from overfocus.diagnosis.section import Section

_KINDS = sorted(classes_in(folder, Section).values(), key=lambda kind: kind.order)  # type: ignore[type-abstract]
SECTIONS: dict[str, Section] = {kind.name: kind() for kind in _KINDS}  # type: ignore[abstract]
"""Name -> the section with its default settings."""
DEFAULT = tuple(name for name, section in SECTIONS.items() if section.by_default)
"""Names of the sections that are evaluated unless others are named."""
MOST = 6
"""Scores of a section that are shown where there is no room for all."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the sections `names` in the order of an examination; UnknownName, with the nearest, for any other name."""
    wanted = list(names)
    for name in wanted:
        if name not in SECTIONS:
            raise UnknownName("section", name, SECTIONS)
    return tuple(name for name in SECTIONS if name in wanted)


def doubted(section: str, trusted: bool | None) -> bool:
    """Whether `section` is read from maps that are no better than chance; `trusted` as a `Diagnosis` has it."""
    return trusted is False and section in SECTIONS and SECTIONS[section].reads_map


def headline(section: str, names: Iterable[str], trusted: bool | None = None) -> list[str]:
    """Return those among the scores `names` of `section` that are shown first: at most six, and at least one; where it
    is `doubted`, only those that ask no map.
    """
    known = list(names)
    if doubted(section, trusted):
        return [name for name in SECTIONS[section].asks_no_map if name in known]
    first = SECTIONS[section].headline if section in SECTIONS else ()
    return ([name for name in first if name in known] or known)[:MOST]
