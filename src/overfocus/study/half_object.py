"""Half of the object as a number of a study: by what none of its methods trained with, so that none is favoured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from overfocus.diagnosis.fillings import FILLINGS, in_words
from overfocus.regularizers.spec import parse

SECTION, NAME = "halves", "half_new"
KEY = f"{SECTION}.{NAME}"


def familiar(methods: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return filling -> those of `methods`, specs, that train with it; fillings that none does are left out."""
    seen = {method: parse(method).fillings for method in methods}
    found = {fill: tuple(method for method in methods if fill in seen[method]) for fill in FILLINGS}
    return {fill: of for fill, of in found.items() if of}


def score_of(fill: str) -> str:
    """Return the key of the score by one filling."""
    return f"{SECTION}.half_{fill}"


def title(fills: Collection[str]) -> str:
    """Return what the mean over `fills` is called."""
    return f"accuracy, half of the object hidden by {in_words(fills)}"
