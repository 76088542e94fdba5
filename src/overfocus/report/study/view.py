"""What the page of a study says, chapter by chapter, as values in words: the template only lays them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite

from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.fillings import FILLINGS, in_words
from overfocus.report.drawing.plot import Plot
from overfocus.report.label import Label, label
from overfocus.report.number import Number, in_own_unit, in_percent, in_points
from overfocus.report.study.claim import short
from overfocus.report.study.curves import accuracy_by_size, training_curves
from overfocus.report.study.dots import (
    followed_cues,
    half_object,
    localization,
    part_shares,
    robustness,
    split_accuracies,
)
from overfocus.report.study.hiding import hiding
from overfocus.report.study.reliability import reliability
from overfocus.report.study.spread import spread_against_accuracy
from overfocus.statistics.verdict import Compared, Effect
from overfocus.study.comparison import Comparison
from overfocus.study.half_object import SECTION, familiar
from overfocus.study.results import Measure, Results
from overfocus.study.run_key import Size

SHOWN = 2
"""Data sizes whose charts are shown at once; those of the smaller ones open by a click."""
CLASSES = 40
"""Rows of the table of classes: those on which most changes."""


@dataclass(frozen=True)
class MeasureTable:
    """Some numbers of the examination at one data size: methods in rows."""

    title: str
    size: str
    heads: tuple[Measure, ...]
    rows: tuple[tuple[Label, tuple[Number, ...]], ...]


Charts = tuple[tuple[str, Plot], ...]
"""Data size, empty for a chart of all data sizes, and chart."""


@dataclass(frozen=True)
class Chapter:
    """A part of the page with a question of its own."""

    key: str
    draw: tuple[Callable[..., Plot | None], ...]
    """What draws its charts, each of a comparison and a data size."""
    section: str = ""
    """The section of the examination whose foremost numbers are shown."""
    title: str = ""
    """Title and question are those of the section unless given."""
    question: str = ""
    note: str = ""
    charts: tuple[Charts, ...] = ()
    """Each kind of chart at several data sizes, to be read side by side."""
    more: tuple[Charts, ...] = ()
    tables: tuple[MeasureTable, ...] = ()


CHAPTERS = (
    Chapter("halves", (half_object,), "halves"),
    Chapter("wider", (spread_against_accuracy,), "spread", "Spread against accuracy", "Does looking wider pay?",
            "A wider map is not a better model by itself: it can widen onto the background. SGDrop acts on the layer "
            "of the map; occlusion asks the picture."),
    Chapter("accuracy", (accuracy_by_size, training_curves, split_accuracies, followed_cues), "", "Accuracy",
            "How much data does it take, and how does training go?"),
    Chapter("hiding", (hiding,), "hiding"),
    Chapter("confidence", (reliability,), "confidence"),
    Chapter("robustness", (robustness,), "robustness"),
    Chapter("localization", (localization,), "localization"),
    Chapter("parts", (part_shares,), "focus"),
)  # fmt: skip


def chapters(comparison: Comparison) -> list[Chapter]:
    """Return the chapters for which the study has anything to show."""
    found = [_filled(comparison, chapter) for chapter in CHAPTERS]
    return [each for each in found if each.charts or each.tables]


def _filled(comparison: Comparison, chapter: Chapter) -> Chapter:
    study = comparison.study
    groups = [list(_charts(comparison, draw)) for draw in chapter.draw]
    first = {"", *map(str, study.sizes[-SHOWN:])}
    at_once = (tuple(each for each in group if each[0] in first) for group in groups)
    more = (tuple(each for each in group if each[0] not in first) for group in groups)
    sizes = study.sizes if chapter.section else ()
    tables = (_measure_table(comparison, chapter.section, size) for size in sizes)
    about = chapter if chapter.title else SECTIONS[chapter.section]
    note = _familiar(comparison.results) if chapter.section == SECTION else chapter.note
    return replace(
        chapter, title=about.title, question=about.question, note=note, charts=tuple(filter(None, at_once)),
        more=tuple(filter(None, more)), tables=tuple(filter(None, tables)),
    )  # fmt: skip


def _familiar(results: Results) -> str:
    """Say which fillings do not count, on whose account, and which do."""
    known = familiar(results.study.methods)
    if not known:
        return "No method here trained with any of the fillings, so all of them count."
    whose = "; ".join(f"{FILLINGS[fill]} ({', '.join(map(short, of))})" for fill, of in known.items())
    counted = f"what counts is {in_words(results.new_fillings)}" if results.new_fillings else "none is left that counts"
    return f"Left out is what a method here has seen in training, and is used to: {whose}; {counted}."


def _charts(comparison: Comparison, draw: Callable[..., Plot | None]) -> Iterator[tuple[str, Plot]]:
    if draw is accuracy_by_size:
        found = [("", draw(comparison))]
    else:
        found = [(str(size), draw(comparison, size)) for size in comparison.study.sizes]
    return ((size, plot) for size, plot in found if plot is not None)


def _measure_table(comparison: Comparison, section: str, size: Size) -> MeasureTable | None:
    """Return the headline scores of a section, the verdict below each number; None where no run has one."""
    results = comparison.results
    heads = results.headline_measures(section)
    heads = [each for each in heads if any(mean.answered for mean in comparison.of(each, size).means.values())]
    if not heads:
        return None
    rows = [
        (label(method, number), tuple(_number(comparison.of(head, size), method) for head in heads))
        for number, method in enumerate(results.study.methods)
    ]
    title = next(each.sections[section]["title"] for each in results.results.values() if section in each.sections)
    return MeasureTable(title, str(size), tuple(heads), tuple(rows))


def _number(of: Compared, method: str) -> Number:
    found, effect = in_own_unit(of.means[method]), of.effects.get(method)
    return replace(found, note=found.note or (_verdict(effect) if effect else ""))


def _verdict(effect: Effect) -> str:
    """Return a verdict that there is a difference; that seeds are too few is the rule and is not said everywhere."""
    return effect.direction if effect.verdict == "different" else effect.verdict if effect.direction else ""


@dataclass(frozen=True)
class ClassTable:
    """What the methods do to the accuracy of single classes, at one data size."""

    size: str
    methods: tuple[Label, ...]
    rows: tuple[tuple[Label, Number, tuple[Number, ...]], ...]
    """A class, its accuracy with the baseline, and what each method changes."""
    left_out: int
    """Classes on which less changes."""


def class_tables(comparison: Comparison) -> list[ClassTable]:
    """Return for each data size the effects of all methods on every class, in points."""
    baseline = comparison.study.baseline
    sizes = [size for size in comparison.study.sizes if comparison.results.of(baseline, size)]
    return [_class_table(comparison, size) for size in sizes if comparison.study.others]


def _class_table(comparison: Comparison, size: Size) -> ClassTable:
    study, classes = comparison.study, comparison.results.classes
    rows = [
        (label(name, number), in_percent(of.means[study.baseline], 1), tuple(map(_class_effect, of.effects.values())))
        for number, (name, of) in enumerate(zip(classes, comparison.by_class(size), strict=True))
    ]
    kept = sorted(rows, key=lambda row: -max((abs(c.key) for c in row[2] if isfinite(c.key)), default=0.0))[:CLASSES]
    kept = sorted(kept, key=lambda row: row[0].number)
    methods = tuple(label(method, study.methods.index(method)) for method in study.others)
    return ClassTable(str(size), methods, tuple(kept), len(rows) - len(kept))


def _class_effect(effect: Effect) -> Number:
    return replace(in_points(effect.paired.difference, 1), note=_verdict(effect))
