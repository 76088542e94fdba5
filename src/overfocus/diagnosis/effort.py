"""Shorter and longer examinations than the usual: how many images each section sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS
from overfocus.diagnosis.section import Section

QUICK = {"answers": 0, "cues": 64, "marks": 64, "halves": 128, "spread": 32, "confidence": 0}
"""Section -> images, of a quick examination; 0 where the images that all sections share suffice."""
STUDIED = {
    "spread": 250, "hiding": 0, "deletion": 250, "robustness": 250, "corruptions": 250, "in_between": 500,
}  # fmt: skip
"""Section -> images in a study: as many for every run, as runs are compared, however narrow an interval is; 0: all."""
LEFT_OUT = "left out of a quick examination"


def limited(section: Section, images: int) -> Section:
    """Return the section with exactly `images` images, as far as it lets their number be chosen."""
    chosen = {"images": images, "half_width": 0.0}
    known = getattr(section, "__dataclass_fields__", {})
    return replace(section, **{name: value for name, value in chosen.items() if name in known})  # type: ignore[type-var]


def quick(given: Iterable[Section] = ()) -> list[Section]:
    """Return the sections of a quick examination, those of `given` in place of the usual ones."""
    return [limited(section, QUICK[name]) for name, section in _known(given).items() if name in QUICK]


def left_out(names: Sequence[str]) -> dict[str, str]:
    """Return why each usual section that is not among `names` is left out of a quick examination."""
    return {name: LEFT_OUT for name in DEFAULT if name not in names}


def studied(given: Iterable[Section] = ()) -> list[Section]:
    """Return the sections with as many images as studies evaluate them on, those of `given` in place of the usual."""
    known = _known(given).items()
    return [limited(section, STUDIED[name]) if name in STUDIED else section for name, section in known]


def _known(given: Iterable[Section]) -> dict[str, Section]:
    return {**SECTIONS, **{section.name: section for section in given}}
