"""What the page of a study says, chapter by chapter, as values in words: the template only lays them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from markupsafe import Markup

from overfocus.diagnosis.catalogue import SECTIONS, headline
from overfocus.report.label import Label, label
from overfocus.report.study import charts as study_charts
from overfocus.report.study.claim import judged
from overfocus.report.study.number import NONE, Number, percent, points
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.verdict import Compared, Effect, per_class_effects
from overfocus.study.results import Measure, Results
from overfocus.study.run_key import Size

SHOWN = 2
"""Data sizes whose charts are shown at once; those of the smaller ones open by a click."""
CLASSES = 40
"""Rows of the table of classes: those on which most changes."""


@dataclass(frozen=True)
class Figure:
    """A chart in a page."""

    title: str
    size: str
    """Empty where it is of all data sizes."""
    text: str
    """What it shows, with the numbers."""
    element: Markup


@dataclass(frozen=True)
class MeasureTable:
    """Some numbers of the examination at one data size: methods in rows."""

    title: str
    size: str
    heads: tuple[Measure, ...]
    rows: tuple[tuple[Label, tuple[Number, ...]], ...]


@dataclass(frozen=True)
class Chapter:
    """A part of the page with a question of its own."""

    key: str
    title: str
    question: str
    figures: tuple[tuple[Figure, ...], ...]
    """Each kind of chart at several data sizes, to be read side by side."""
    more: tuple[tuple[Figure, ...], ...] = ()
    tables: tuple[MeasureTable, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """Which charts and numbers a chapter is made of."""

    key: str
    charts: tuple[str, ...]
    """Names of functions of `study_charts`."""
    section: str = ""
    """The section of the examination whose foremost numbers are shown."""
    title: str = ""
    """Title and question are those of the section unless given."""
    question: str = ""
    note: str = ""


PLANS = (
    Plan("wider", ("spread_against_accuracy",), "spread", "Spread against accuracy", "Does looking wider pay?",
         "A wider map is not a better model by itself: it can widen onto the background."),
    Plan("accuracy", ("accuracy_by_size", "training_curves", "split_accuracies"), "", "Accuracy",
         "How much data does it take, and how does training go?"),
    Plan("hiding", ("hiding",), "hiding"),
    Plan("confidence", ("reliability",), "confidence"),
    Plan("robustness", ("robustness",), "robustness"),
    Plan("localization", ("localization",), "localization"),
    Plan("parts", ("part_shares",), "focus"),
)  # fmt: skip


def chapters(results: Results) -> list[Chapter]:
    """Return the chapters for which the study has anything to show."""
    found = [_chapter(results, plan) for plan in PLANS]
    return [each for each in found if each.figures or each.tables]


def _chapter(results: Results, plan: Plan) -> Chapter:
    drawn = [list(_figures(results, name)) for name in plan.charts]
    first = {"", *(str(size) for size in results.study.sizes[-SHOWN:])}
    tables = [table for size in results.study.sizes for table in _tables(results, plan.section, size)]
    about = plan if plan.title else SECTIONS[plan.section]
    return Chapter(
        plan.key,
        about.title,
        about.question,
        _kept([[each for each in group if each.size in first] for group in drawn]),
        _kept([[each for each in group if each.size not in first] for group in drawn]),
        tuple(tables),
        plan.note,
    )


def _kept(groups: Sequence[Sequence[Figure]]) -> tuple[tuple[Figure, ...], ...]:
    return tuple(tuple(group) for group in groups if group)


def _figures(results: Results, name: str) -> Iterator[Figure]:
    draw = getattr(study_charts, name)
    if name == "accuracy_by_size":
        drawn = draw(results)
        if drawn is not None:
            yield Figure(drawn.title, "", drawn.text, Markup(drawn.svg))  # the charts escape their text
        return
    for size in results.study.sizes:
        drawn = draw(results, size)
        if drawn is not None:
            yield Figure(drawn.title, str(size), drawn.text, Markup(drawn.svg))


def _tables(results: Results, section: str, size: Size) -> Iterator[MeasureTable]:
    """Yield the foremost numbers of a section; the verdict on each stands below it."""
    measures = {m.key.partition(".")[2]: m for m in results.measures if m.key.startswith(f"{section}.")}
    heads = [measures[name] for name in headline(section, measures)] if measures else []
    heads = [each for each in heads if any(np.isfinite(v).any() for v in results.values(each, size).values())]
    if not heads:
        return
    columns = [_column(results, each, size) for each in heads]
    rows = [(label(m, n), tuple(column[n] for column in columns)) for n, m in enumerate(results.study.methods)]
    title = next(each.sections[section]["title"] for each in results.results.values() if section in each.sections)
    yield MeasureTable(title, str(size), tuple(heads), tuple(rows))


def _column(results: Results, measure: Measure, size: Size) -> list[Number]:
    of = judged(results, measure, size)
    return [_number(of, method) for method in results.study.methods]


def _number(of: Compared, method: str) -> Number:
    mean = of.means[method]
    if not mean.answered:
        return Number(NONE, note=mean.note)
    value, low, high = (f"{each:.3f}".replace("-", "\u2212") for each in (mean.value, mean.low, mean.high))
    effect = of.effects.get(method)
    return Number(value, f"[{low}, {high}]" if mean.bounded else "", mean.value, _told(effect) if effect else "")


def _told(effect: Effect) -> str:
    """Return the verdict where there is one; that seeds are too few is the rule and is not said in every cell."""
    if effect.verdict == "different":
        return "higher" if effect.paired.difference.value > 0 else "lower"
    return effect.verdict if effect.verdict in ("better", "worse") else ""


@dataclass(frozen=True)
class ClassTable:
    """What the methods do to the accuracy of single classes, at one data size."""

    size: str
    methods: tuple[Label, ...]
    rows: tuple[tuple[Label, Number, tuple[Number, ...]], ...]
    """A class, its accuracy with the baseline, and what each method changes."""
    left_out: int
    """Classes on which less changes."""


def class_tables(results: Results) -> list[ClassTable]:
    """Return for each data size the effects of all methods on every class, in points."""
    sizes = [size for size in results.study.sizes if results.of(results.study.baseline, size)]
    return [_class_table(results, size) for size in sizes if len(results.study.methods) > 1]


def _class_table(results: Results, size: Size) -> ClassTable:
    accuracy = results.per_class(size)
    base = accuracy[results.study.baseline]
    effects = {method: per_class_effects(accuracy[method], base) for method in results.study.others}
    rows = []
    for number, name in enumerate(results.classes):
        cells = tuple(_class_effect(of[number]) for of in effects.values())
        rows.append((label(name, number), percent(mean_interval(base[:, number]), 1), cells))
    kept = sorted(rows, key=lambda row: -max((abs(c.key) for c in row[2] if isfinite(c.key)), default=0.0))[:CLASSES]
    kept = sorted(kept, key=lambda row: row[0].number)
    hues = tuple(label(method, results.study.methods.index(method)) for method in effects)
    return ClassTable(str(size), hues, tuple(kept), len(rows) - len(kept))


def _class_effect(effect: Effect) -> Number:
    number = points(effect.paired.difference, 1)
    return Number(number.value, number.interval, number.key, _told(effect))
