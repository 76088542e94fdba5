"""What is said of leans: one sentence for all of them, and for each its share, its classes and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from overfocus.diagnosis.lean import Lean
from overfocus.diagnosis.wording import quoted
from overfocus.metrics.score import FEW, Score

NAMED = 3
"""Classes that are named; of more, only their number is told."""
LETTERS = 60
"""Letters of a title or a name that are told."""
LISTED = 8
"""Leans that are listed; findings all are, however many."""


def sentence(leans: Sequence[Lean], classes: Sequence[str]) -> str:
    """Return what was found, in a sentence. leans: those of all sections that looked, ranked; classes: of the model."""
    found = next((lean for lean in leans if lean.found), None)
    if found is not None:
        return _found(found, classes)
    if leans and not any(lean.share.answered for lean in leans):
        why = next((f": {lean.share.note}" for lean in leans if lean.share.note), "")
        return f"What it leans on has no answer{why}."
    read = next((lean for lean in leans if lean.intended and _above_zero(lean.share)), None)
    if read is None:
        return "Nothing was found that it should not lean on."
    few = f"; {read.share.n} pictures are few, so take this as a hint" if read.share.n < FEW else ""
    of = f"it reads {short(read.title)} (share {in_words(read.share)})"
    return f"Nothing was found that it should not lean on: {of}{few}."


def _found(lean: Lean, classes: Sequence[str]) -> str:
    few, (share, interval) = lean.share.n < FEW, _percent(lean.share)
    where = f" in {_classes(lean, classes)}" if lean.classes else ""
    hint = f"; {lean.share.n} pictures are few, so take this as a hint" if few else ""
    lost = f"{share} of its accuracy above chance goes with it{interval and f' {interval}'}{hint}"
    return f"It {'may lean' if few else 'leans'} on {short(lean.title)}{where}: {lost}."


def in_words(share: Score) -> str:
    """Return a share of the accuracy in per cent, with its interval."""
    return " ".join(filter(None, _percent(share)))


def _percent(share: Score) -> tuple[str, str]:
    """Return the share and its interval, which may be empty."""
    if not share.answered:
        return "no answer", ""
    ends = f"[{round(100 * share.low)}, {round(100 * share.high)}]" if share.bounded else ""
    return f"{round(100 * share.value)} %", ends


def how_sure(lean: Lean) -> str:
    """Return what may be said of a lean, and from how many pictures."""
    share = lean.share
    if not share.answered:
        return f"no answer: {share.note}" if share.note else "no answer"
    if lean.found:
        word = "a hint" if share.n < FEW else "found"
    elif lean.intended:
        word = "meant to be read"
    else:
        word = "no finding" if _above_zero(share) else "may be nothing"
    return f"{word}, n = {share.n:,}"


def next_step(lean: Lean) -> str:
    """Return the command or deed that follows; empty where nothing was found."""
    return lean.advice if lean.found else ""


def of_classes(lean: Lean, classes: Sequence[str]) -> str:
    """Return the classes that lean on it; classes: of the model."""
    if not lean.classes:
        return "all"
    if len(lean.classes) > NAMED:
        return f"{len(lean.classes)} of {len(classes)}"
    return ", ".join(short(classes[each]) for each in lean.classes)


def _classes(lean: Lean, classes: Sequence[str]) -> str:
    if len(lean.classes) > NAMED:
        return f"{len(lean.classes)} of {len(classes)} classes"
    *others, last = (quoted(classes[each]) for each in lean.classes)
    return f"the classes {', '.join(others)} and {last}" if others else f"the class {last}"


def listed(leans: Sequence[Lean], most: int = LISTED) -> list[Lean]:
    """Return all findings, and the first of the others until there are `most`; in their order."""
    left, found = most - sum(lean.found for lean in leans), []
    for lean in leans:
        left -= not lean.found
        if lean.found or left >= 0:
            found.append(lean)
    return found


def short(name: str) -> str:
    """Return at most 60 letters of a name that may hold anything, those that cannot be printed replaced."""
    whole = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in whole)


def _above_zero(share: Score) -> bool:
    return (share.value if isnan(share.low) else share.low) > 0
