"""The tables of a study as values: methods, measures, runs and classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overfocus.core.files import write
from overfocus.core.interval import finite
from overfocus.core.words import begun
from overfocus.report.study.table_text import Column, Row, StudyTable, as_csv, as_latex, as_markdown
from overfocus.statistics.verdict import Compared
from overfocus.study.comparison import Comparison
from overfocus.study.growth import changes
from overfocus.study.metric_changes import metric_changes
from overfocus.study.results import Results
from overfocus.study.run_key import RunKey, Size

METHOD, SIZE, SEEDS = Column("method", "method"), Column("size", "data size"), Column("seeds", "seeds")
P, PAGE, VERDICT = Column("p", "p (Holm)"), Column("p_page", "p (page)"), Column("verdict", "verdict")
T_TEST, CORRECTED = "paired t test", "corrected resampled t test (Nadeau and Bengio 2003)"
FALSE_DISCOVERY = "p (page): after Benjamini and Hochberg over all comparisons of the page, classes included."
PLUS_MINUS = "A ± B is a mean over seeds and half its 95 % t interval, not a standard deviation."


def t_test_of(comparison: Comparison) -> str:
    """Return the name of the test that p values are of."""
    return CORRECTED if comparison.study.folds else T_TEST


def _holm(comparison: Comparison) -> str:
    return f"p: {t_test_of(comparison)}, after Holm over the methods of one data size."


def methods_table(comparison: Comparison) -> StudyTable:
    """Return what the study is judged by of every method at every data size, its effect against the baseline, and,
    apart, that of the best epoch.
    """
    results, metric = comparison.results, comparison.results.metric
    heads = (
        SIZE, METHOD, SEEDS, Column(metric.key, f"{metric.words}, %", 100, 2),
        Column("difference", "difference, points", 100, 2, signed=True),
        Column("two_level", "over seeds and pictures, points", 100, 2, signed=True), P, PAGE,
        Column("p_sign_flip", "p, sign flip"),
        Column("improvement", "chance of improvement", digits=2), VERDICT,
        Column(f"best_epoch_{metric.key}", "best epoch, %", 100, 2),
    )  # fmt: skip
    rows = [row for size in comparison.sizes for row in _method_rows(comparison, size)]
    note = (
        f"Baseline: {results.study.baseline}. {PLUS_MINUS} {begun(metric.words)} on {results.split}, last epoch. "
        "Over seeds and pictures: the same difference, with its interval for other test pictures too. "
        f"{_holm(comparison)} {FALSE_DISCOVERY} Chance of "
        "improvement: that a run is better than a run of the baseline. Best epoch: "
        f"{results.best_note or 'on held-out images'}."
    )
    return StudyTable("comparison", "Methods compared", heads, tuple(rows), note)


def _method_rows(comparison: Comparison, size: Size) -> Iterator[Row]:
    results = comparison.results
    last, best = (comparison.of(measure, size) for measure in (results.metric, results.best_metric))
    for method, mean in last.means.items():
        if not mean.answered:
            continue
        difference, p, page, verdict = _against_baseline(comparison, last, method)
        two_level, *more = (
            (e.two_level, e.p_sign_flip, e.paired.improvement) if (e := last.effects.get(method)) else (None,) * 3
        )
        yield (
            str(size), method, mean.n, mean, difference, two_level, p, page, *more, verdict, best.means[method]
        )  # fmt: skip


def _against_baseline(comparison: Comparison, of: Compared, method: str) -> Row:
    """Return difference, p after Holm, p over the page, and verdict."""
    if (effect := of.effects.get(method)) is None:
        return (None, None, None, "baseline")
    return (effect.paired.difference, effect.p, comparison.p_page(effect), effect.verdict)


def measures_table(comparison: Comparison) -> StudyTable:
    """Return what the study is judged by, the accuracies and the headline scores of each section of the examination:
    one row for a measure of a method at a data size. Each measure is a family of its own for Holm. All numbers, run by
    run, are in `runs_table`.
    """
    heads = (
        SIZE, Column("measure", "measure"), Column("title", "title"), Column("unit", "unit"),
        Column("better", "better"), METHOD, SEEDS, Column("mean", "mean"),
        Column("difference", "difference", signed=True), P, PAGE, VERDICT,
    )  # fmt: skip
    rows = [
        (str(size), measure.key, measure.title, measure.unit, measure.better, method, mean.n, mean,
         *_against_baseline(comparison, of, method))
        for size, measure, of in comparison.headlines()
        for method, mean in of.means.items()
    ]  # fmt: skip
    return StudyTable("measures", "Measures compared", heads, tuple(rows), f"{_holm(comparison)} {FALSE_DISCOVERY}")


def runs_table(results: Results) -> StudyTable:
    """Return one row for each run, finished or not, with all its numbers as they are."""
    heads = (
        METHOD, Column("per_class", "images per class"), Column("fraction", "part of the images"),
        Column("seed", "seed"), Column("state", "state"), Column("seconds", "seconds"),
        *(Column(each.key, each.title) for each in results.measures), Column("folder", "folder"),
    )  # fmt: skip
    rows = tuple(_run_row(results, key) for key in results.study.run_keys())
    return StudyTable("runs", "Runs", heads, rows)


def _run_row(results: Results, key: RunKey) -> Row:
    state = f"failed: {' '.join(results.failed[key].split())}" if key in results.failed else "missing"
    numbers: Sequence[float | None] = (None,) * (1 + len(results.measures))
    if run := results.results.get(key):
        state = "finished"
        numbers = [float(run.manifest["seconds"]), *(results.value(key, each.key) for each in results.measures)]
    folder = key.folder(results.folder).relative_to(results.folder).as_posix()
    return (key.method, key.size.per_class, key.size.fraction, key.seed, state, *numbers, folder)


def classes_table(comparison: Comparison) -> StudyTable:
    """Return what every method does to the accuracy of each class."""
    heads = (
        SIZE, Column("class", "class"), METHOD, SEEDS, Column("accuracy", "accuracy, %", 100, 1),
        Column("difference", "difference, points", 100, 1, signed=True), P, PAGE, VERDICT,
    )  # fmt: skip
    rows = [
        (str(size), name, method, of.means[method].n, of.means[method],
         *_against_baseline(comparison, of, method))
        for size in comparison.sizes
        for method in comparison.study.methods
        for name, of in zip(comparison.results.classes, comparison.by_class(size), strict=True)
    ]  # fmt: skip
    note = (
        f"Baseline: {comparison.study.baseline}. {PLUS_MINUS} p: {t_test_of(comparison)}, after Holm over the classes. "
        f"{FALSE_DISCOVERY}"
    )
    return StudyTable("classes", "Accuracy by class", heads, tuple(rows), note)


def write_tables(comparison: Comparison, folder: Path) -> list[Path]:
    """Write all tables into `folder` and return their paths: those for a paper as CSV, Markdown and LaTeX, those that
    are too large for one as CSV. Each is written whole or not at all.
    """
    writers = {".csv": as_csv, ".md": as_markdown, ".tex": as_latex}
    found = [(table, kind) for table in (methods_table(comparison), classes_table(comparison)) for kind in writers]
    found += [(table, ".csv") for table in (runs_table(comparison.results), measures_table(comparison))]
    paths = []
    for table, kind in found:
        paths.append(Path(folder) / f"{table.name}{kind}")
        write(paths[-1], writers[kind](table))
    return paths


def _out_of_fold(results: Results, size: Size) -> dict[str, Any]:
    """Return method -> scores over the answers to all pictures, accuracy of each class, and how many there are."""
    found = {m: a for m in results.study.methods if (a := results.out_of_fold(m, size))}
    return {
        method: {
            **{name: answers.score(name) for name in ("accuracy", results.metric.key)}, "n": len(answers.labels),
            "per_class": dict(zip(results.classes, map(finite, answers.per_class(len(results.classes))), strict=True)),
        }
        for method, answers in found.items()
    }  # fmt: skip


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return what JSON can hold: for each data size the verdicts on what the study is judged by and on the
    headline scores of the examination, and which runs are missing.
    """
    results, sizes = comparison.results, {}
    for size, measure, of in comparison.headlines():
        found = of.as_dict()
        for method, effect in of.effects.items():
            found["effects"][method]["p_page"] = finite(comparison.p_page(effect))
        if measure == results.metric and results.study.folds:
            found["out_of_fold"] = _out_of_fold(results, size)
        sizes.setdefault(str(size), {})[measure.key] = found
    small, all_of_them = comparison.discoveries
    look, folds = results.look, results.study.folds
    times = len(results.study.seeds) // max(folds, 1)
    return {
        "folds": {"number": folds, "times": times, "test": "corrected resampled t"} if folds else None,
        "page": {"comparisons": all_of_them, "p_page_at_most_0.05": small},
        "look": {"looks": list(look.looks), "number": look.number, "share": look.share} if look.looks else None,
        "split": results.split, "metric": results.metric.key,
        "baseline": results.study.baseline, "methods": list(results.study.methods),
        "seeds": list(results.study.seeds),
        "seeds_changed": [asdict(each) for each in changes(results.folder)],
        "metric_changed": [asdict(each) for each in metric_changes(results.folder)], "finished": len(results.results),
        "failed": {str(key): why for key, why in results.failed.items()},
        "missing": [str(key) for key in results.missing],
        "unexamined": [str(key) for key in results.unexamined], "sizes": sizes,
    }  # fmt: skip
