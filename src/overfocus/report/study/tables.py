"""The tables of a study as values: the comparison, every run, every measure, and every class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overfocus.core.files import write
from overfocus.diagnosis.catalogue import headline
from overfocus.report.study.claim import judged
from overfocus.report.study.table_text import as_csv, as_latex, as_markdown
from overfocus.report.study.table_value import Column, Row, StudyTable
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.verdict import Compared, per_class_effects
from overfocus.study.results import ACCURACY, BEST, Measure, Results
from overfocus.study.run_key import RunKey, Size

__all__ = ["Column", "StudyTable", "as_csv", "as_dict", "as_latex", "as_markdown", "classes", "comparison", "measures",
           "runs", "write_tables"]  # fmt: skip

METHOD, SIZE = Column("method", "method"), Column("size", "data size")
P = Column("p", "p (Holm)", 1.0, 3)
HOLM = "p: paired t test, after Holm over the methods of one data size."
PLUS_MINUS = "A ± B is a mean over seeds and half its 95 % t interval, not a standard deviation."


@dataclass(frozen=True)
class _Judged:
    size: Size
    measure: Measure
    of: Compared


def comparison(results: Results) -> StudyTable:
    """Return accuracy of every method at every data size, what it is worth against the baseline, and, apart, the
    accuracy of the best epoch.
    """
    heads = (
        SIZE, METHOD, Column("seeds", "seeds"), Column("accuracy", "accuracy, %", 100, 2),
        Column("difference", "difference, points", 100, 2, signed=True), P,
        Column("p_sign_flip", "p, sign flip", 1.0, 3),
        Column("improvement", "chance of improvement", 1.0, 2), Column("verdict", "verdict"),
        Column("best_epoch_accuracy", "best epoch, %", 100, 2),
    )  # fmt: skip
    rows = [row for size in _sizes(results) for row in _compared_rows(results, size)]
    best = next(iter(results.results.values())).manifest.get("best", {}).get("note", "")
    note = (
        f"Baseline: {results.study.baseline}. {PLUS_MINUS} Accuracy on {results.split}, last epoch. {HOLM} Chance of "
        f"improvement: that a run is better than a run of the baseline. Best epoch: {best or 'on held-out images'}."
    )
    return StudyTable("comparison", "Methods compared", heads, tuple(rows), note)


def _compared_rows(results: Results, size: Size) -> Iterator[Row]:
    last, best = (judged(results, measure, size) for measure in (ACCURACY, BEST))
    for method, mean in last.means.items():
        if not mean.answered:
            continue
        effect = last.effects.get(method)
        told = (effect.paired.difference, effect.p, effect.p_sign_flip, effect.paired.improvement, effect.verdict)\
            if effect else (None, None, None, None, "baseline")  # fmt: skip
        yield (str(size), method, mean.n, mean, *told, best.means[method])


def measures(results: Results) -> StudyTable:
    """Return the accuracies and the foremost numbers of each section of the examination, compared as the accuracy is:
    one row for a measure of a method at a data size. Each measure is a family of its own for Holm. All numbers that
    there are, run by run, are in `runs`.
    """
    heads = (
        SIZE, Column("measure", "measure"), Column("title", "title"), Column("unit", "unit"),
        Column("better", "better"), METHOD, Column("seeds", "seeds"), Column("mean", "mean"),
        Column("difference", "difference", signed=True), P, Column("verdict", "verdict"),
    )  # fmt: skip
    rows = []
    for each in _judged_measures(results):
        about = (str(each.size), each.measure.key, each.measure.title, each.measure.unit, each.measure.better)
        for method, mean in each.of.means.items():
            effect = each.of.effects.get(method)
            told = (effect.paired.difference, effect.p, effect.verdict) if effect else (None, None, "baseline")
            rows.append((*about, method, mean.n, mean, *told))
    return StudyTable("measures", "Measures compared", heads, tuple(rows), HOLM)


def _judged_measures(results: Results) -> Iterator[_Judged]:
    for size in _sizes(results):
        for measure in _foremost(results):
            yield _Judged(size, measure, judged(results, measure, size))


def _foremost(results: Results) -> list[Measure]:
    """Return the accuracies, and of each section what is told first."""
    sections: dict[str, dict[str, Measure]] = {}
    for measure in results.measures:
        section, _, name = measure.key.partition(".")
        if name and not measure.title.startswith("accuracy on "):
            sections.setdefault(section, {})[name] = measure
    known = {id(m) for s, of in sections.items() for m in (of[n] for n in headline(s, of))}
    every = {id(m) for of in sections.values() for m in of.values()}
    return [measure for measure in results.measures if id(measure) in known or id(measure) not in every]


def runs(results: Results) -> StudyTable:
    """Return one row for each run, finished or not, with all its numbers as they are."""
    found = results.measures
    heads = (
        METHOD, Column("per_class", "images per class"), Column("fraction", "part of the images"),
        Column("seed", "seed"),
        Column("state", "state"), Column("seconds", "seconds"), *(Column(each.key, each.title) for each in found),
        Column("folder", "folder"),
    )  # fmt: skip
    rows = tuple(_run(results, cell, found) for cell in results.study.cells())
    return StudyTable("runs", "Runs", heads, rows)


def _run(results: Results, cell: RunKey, found: list[Measure]) -> Row:
    state = f"failed: {' '.join(results.failed[cell].split())}" if cell in results.failed else "missing"
    run = results.results.get(cell)
    folder = cell.folder(results.folder).relative_to(results.folder).as_posix()
    about = (cell.method, cell.size.per_class, cell.size.fraction, cell.seed)
    if run is None:
        return (*about, state, None, *(None for _ in found), folder)
    return (*about, "finished", float(run.manifest["seconds"]), *(run.value(each.key) for each in found), folder)


def classes(results: Results) -> StudyTable:
    """Return what every method does to the accuracy of each class."""
    heads = (
        SIZE, Column("class", "class"), METHOD, Column("seeds", "seeds"), Column("accuracy", "accuracy, %", 100, 1),
        Column("difference", "difference, points", 100, 1, signed=True), Column("p", "p (Holm)", 1.0, 3),
        Column("verdict", "verdict"),
    )  # fmt: skip
    rows = [row for size in _sizes(results) for row in _class_rows(results, size)]
    note = f"Baseline: {results.study.baseline}. {PLUS_MINUS} p: paired t test, after Holm over the classes."
    return StudyTable("classes", "Accuracy by class", heads, tuple(rows), note)


def _class_rows(results: Results, size: Size) -> Iterator[Row]:
    accuracy = results.per_class(size)
    base = accuracy[results.study.baseline]
    for method, values in accuracy.items():
        effects = per_class_effects(values, base) if method != results.study.baseline else []
        for number, name in enumerate(results.classes):
            mean = mean_interval(values[:, number])
            told = (effects[number].paired.difference, effects[number].p, effects[number].verdict)\
                if effects else (None, None, "baseline")  # fmt: skip
            yield (str(size), name, method, mean.n, mean, *told)


def _sizes(results: Results) -> list[Size]:
    """Return the data sizes at which a run is finished."""
    return [size for size in results.study.sizes if any(results.of(m, size) for m in results.study.methods)]


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write all tables into `folder` and return their paths: those for a paper as CSV, Markdown and LaTeX, those that
    are too large for one as CSV. Each is written whole or not at all.
    """
    writers = {".csv": as_csv, ".md": as_markdown, ".tex": as_latex}
    found = [(table, kind) for table in (comparison(results), classes(results)) for kind in writers]
    found += [(table, ".csv") for table in (runs(results), measures(results))]
    paths = []
    for table, kind in found:
        paths.append(Path(folder) / f"{table.name}{kind}")
        write(paths[-1], writers[kind](table))
    return paths


def as_dict(results: Results) -> dict[str, Any]:
    """Return what JSON can hold: for each data size the verdicts on accuracy and on the foremost numbers of the
    examination, and which runs are not there.
    """
    sizes: dict[str, dict[str, Any]] = {}
    for each in _judged_measures(results):
        sizes.setdefault(str(each.size), {})[each.measure.key] = each.of.as_dict()
    return {
        "split": results.split, "baseline": results.study.baseline, "methods": list(results.study.methods),
        "seeds": list(results.study.seeds), "finished": len(results.results),  # type: ignore[arg-type]
        "failed": {str(cell): why for cell, why in results.failed.items()},
        "missing": [str(cell) for cell in results.missing],
        "unexamined": [str(cell) for cell in results.unexamined], "sizes": sizes,
    }  # fmt: skip
