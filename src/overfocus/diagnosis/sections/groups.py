"""Is it as good everywhere? The worst of the groups of images, such as those of one scanner or on one background.

It is no part of what the network leans on (`diagnosis.lean`): that scale compares one picture with and without a thing,
and groups are of different pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from overfocus.core.interval import wilson
from overfocus.core.words import counted
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Sample
from overfocus.diagnosis.section import SHOWN, Examples, Finding, Section, Table
from overfocus.diagnosis.wording import percent, quoted
from overfocus.metrics.answers import answers
from overfocus.metrics.groups import LEAST, Cells, group_scores
from overfocus.metrics.score import Score

MOST, COLUMNS = 20, 12
"""Rows of a table, and groups in one, at most."""


@dataclass(frozen=True)
class GroupSection(Section):
    """Accuracy of each class in each group, the worst of them beside chance, and how far the group tells the class."""

    name: ClassVar[str] = "groups"
    title: ClassVar[str] = "Groups"
    question: ClassVar[str] = "Is it as good in every group of images, and does the group tell the class?"
    order: ClassVar[int] = 1
    passes: ClassVar[int] = 0
    headline: ClassVar[tuple[str, ...]] = (
        "worst_group", "worst_group_by_chance", "group_gap", "group_gap_by_chance", "class_by_group",
        "class_by_group_by_chance",
    )  # fmt: skip
    needs: ClassVar[str] = "groups"

    def lacking(self, sample: Sample) -> str:
        """Need images of two groups."""
        if sample.groups is None:
            return "the data has no groups; --group COLUMN takes those of its CSV, --group FILE.csv:COLUMN any other"
        one = len(sample.groups.places.unique()) < 2
        return f"the images are all of one group of {quoted(sample.groups.column)}" if one else ""

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute all numbers from logits, labels and groups."""
        known = _Known(evidence)
        scores = group_scores(known.cells, seed=evidence.seed)
        return self.found(
            lambda found: _sentence(known, found), {}, evidence.seed, scores,
            tables=(_cells(known), _groups(known), _counts(known)), notes=_notes(known),
        )  # fmt: skip


class _Known:
    """What the evidence says of groups."""

    def __init__(self, evidence: Evidence) -> None:
        self.labels, self.named = evidence.labels.numpy(), answers(evidence.logits).numpy()
        self.groups = evidence.arrays["groups/places"]
        self.column = str(evidence.arrays["groups/column"])
        self.names: list[str] = evidence.arrays["groups/names"].tolist()
        self.classes = evidence.classes
        self.cells = Cells.of(self.labels, self.named, self.groups, len(self.classes), len(self.names))
        self.confidence = evidence.logits.double().softmax(dim=1).amax(dim=1).numpy()

    def wrong(self, label: int, group: int) -> Examples:
        """Return the wrong answers in a cell of which the network is surest."""
        rows = np.flatnonzero((self.labels == label) & (self.groups == group) & (self.named != label))
        return Examples(tuple(rows[np.argsort(-self.confidence[rows], kind="stable")[:SHOWN]].tolist()))


def _sentence(known: _Known, scores: Mapping[str, Score]) -> str:
    return f"{_worst(known, scores)} {_told(known, scores)}"


def _worst(known: _Known, scores: Mapping[str, Score]) -> str:
    worst, chance, gap = (scores[name] for name in ("worst_group", "worst_group_by_chance", "group_gap"))
    place = known.cells.worst()
    if place is None:
        return f"No class has {LEAST} images in one group, so no worst group is named."
    label, group = place
    right, count = known.cells.right.sum(), known.cells.count.sum()
    text = (
        f"Of {quoted(known.classes[label])} in the group {quoted(known.names[group])} it names {percent(worst.value)} "
        f"rightly ({worst}, n = {known.cells.count[place]:,}), of all images {percent(right / count)}."
    )
    if not gap.answered:
        return (
            f"{text} No class has {LEAST} images in each of two groups, so what comes of the group cannot be told from "
            "what comes of the class."
        )
    other, below = scores["group_gap_by_chance"], worst.value < chance.low
    less = "less than chance gives, so the group matters or its images are harder" if below else "what chance gives"
    more = "more" if gap.value > other.high else "no more"
    return (
        f"{text} That is {less}: where groups are dealt out at random within each class the worst of as many cells is "
        f"{chance}. The widest gap between groups within a class is {gap}, {more} than by chance ({other})."
    )


def _told(known: _Known, scores: Mapping[str, Score]) -> str:
    told, chance = scores["class_by_group"], scores["class_by_group_by_chance"]
    if not told.answered:
        return "How far the group tells the class cannot be said: the images are all of one class."
    mixed = "are confused in these images" if told.value > chance.high else "are not shown to be confused"
    return (
        f"Whoever knows the group alone names {percent(told.value)} of them, each class counting the same, and "
        f"{percent(chance.value)} [{percent(chance.low)}, {percent(chance.high)}] by chance: class and "
        f"{quoted(known.column)} {mixed}."
    )


def _notes(known: _Known) -> tuple[str, ...]:
    small = int(((known.cells.count > 0) & ~known.cells.compared).sum())
    left = (
        f"{counted(small, 'class in a group has', 'classes in a group have')} fewer than {LEAST} images and "
        f"{'is' if small == 1 else 'are'} listed, and not compared.",
    ) * (small > 0)
    return (
        *left,
        "The worst of several is low by chance, and a bootstrap of it lower still: compare it with its number by "
        "chance, not with its interval alone.",
        "Groups are of different images, which may be harder for another reason; a gap is therefore not ranked among "
        "what the network leans on, which is found by exchanging one thing in the same picture.",
    )


def _cells(known: _Known) -> Table:
    """Return the classes in groups that have images: those that are compared, the worst first, then the others."""
    cells, accuracy = known.cells, known.cells.accuracy()
    filled = [(int(label), int(group)) for label, group in zip(*np.nonzero(cells.count), strict=True)]
    order = sorted(filled, key=lambda place: (not cells.compared[place], accuracy[place], -cells.count[place]))[:MOST]
    rows = tuple(
        (
            known.classes[label], known.names[group], _share(cells.right[label, group], cells.count[label, group]),
            f"{cells.count[label, group]:,}", "yes" if cells.compared[label, group] else f"no, under {LEAST}",
        )
        for label, group in order
    )  # fmt: skip
    more = f": {MOST} of {len(filled):,}" if len(filled) > MOST else ""
    heads = ("class", "group", "accuracy", "images", "compared")
    seen = tuple(known.wrong(*place) for place in order)
    title = f"Classes in groups, the worst first{more}, with the wrong answers of which it is surest"
    return Table(title, heads, rows, seen)


def _groups(known: _Known) -> Table:
    """Return the groups, the lowest accuracy first."""
    right, count = known.cells.right.sum(axis=0), known.cells.count.sum(axis=0)
    recalls = known.cells.accuracy()
    order = sorted(np.flatnonzero(count).tolist(), key=lambda group: (right[group] / count[group], group))
    rows = tuple(
        (known.names[g], _share(right[g], count[g]), f"{np.nanmean(recalls[:, g]):.3f}", f"{count[g]:,}")
        for g in order[:MOST]
    )
    title = "Groups, the lowest accuracy first" + (f": {MOST} of {len(order):,}" if len(order) > MOST else "")
    return Table(title, ("group", "accuracy", "balanced accuracy", "images"), rows)


def _counts(known: _Known) -> Table:
    """Return how many images of each class are in each group, the largest groups first."""
    count = known.cells.count
    groups = [int(g) for g in np.argsort(-count.sum(axis=0), kind="stable") if count[:, g].any()][:COLUMNS]
    labels = np.flatnonzero(count.sum(axis=1))[:MOST].tolist()
    filled, present = int((count.sum(axis=0) > 0).sum()), int((count.sum(axis=1) > 0).sum())
    cut = [f"{len(some)} of {of:,} {what}" for some, of, what in
           ((labels, present, "classes"), (groups, filled, "groups")) if len(some) < of]  # fmt: skip
    title = "Images of each class in each group" + (f": {' and '.join(cut)}" if cut else "")
    rows = tuple((known.classes[k], *(f"{count[k, g]:,}" for g in groups)) for k in labels)
    return Table(title, ("class", *(known.names[g] for g in groups)), rows)


def _share(right: int, count: int) -> str:
    low, high = wilson(right / count, int(count))
    return f"{right / count:.3f} [{low:.3f}, {high:.3f}]"
