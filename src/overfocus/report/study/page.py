"""The report of a study: one HTML file that opens anywhere, its charts and pictures inside, with tables beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overfocus.core.files import write
from overfocus.core.words import counted
from overfocus.report.drawing.overlay import bar
from overfocus.report.html import render
from overfocus.report.label import JOINERS, label, visible
from overfocus.report.study.answer import cross_validation, false_discovery, grown, judged_anew, plan, size_tables
from overfocus.report.study.gallery import Gallery, study_gallery
from overfocus.report.study.origin import costs, facts, runs, same_data
from overfocus.report.study.tables import write_tables
from overfocus.report.study.view import chapters, class_tables
from overfocus.study.comparison import Comparison
from overfocus.study.results import Results

PAGE, TABLES, IMAGES = "report.html", "tables", 24
NAMED = 8
"""Runs that failed or are missing which are named at once."""
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def write_report(comparison: Comparison, *, out: Path | None = None, images: int = IMAGES) -> Path:
    """Write the report of a study and return the path of the page: `out`, or report.html in the folder of the study.

    Beside it `tables/` gets every table as CSV, Markdown and LaTeX. The page asks for nothing outside itself. images:
    how many the gallery shows, balanced over classes; they are read anew from the data, and left out where those are
    gone.
    """
    path = Path(out) if out is not None else comparison.results.folder / PAGE
    tables = write_tables(comparison, path.parent / TABLES)
    write(path, page(comparison, study_gallery(comparison.results, images), [each.name for each in tables]))
    return path


def page(comparison: Comparison, gallery: Gallery, tables: Sequence[str] = ()) -> str:
    """Return the HTML text. tables: names of the files that lie in `tables/` beside the page."""
    results, study = comparison.results, comparison.study
    return render(
        "study.html.j2", "study.js",
        data=label(str(study.data.name).rstrip("/").rpartition("/")[2]), extent=_extent(results),
        metric=results.metric.words,
        several=len(study.sizes) > 1, split=results.split, answers=size_tables(comparison), trouble=trouble(results),
        rests=rests(comparison), chapters=chapters(comparison), baseline=study.methods.index(study.baseline),
        arrows=ARROWS, classes=class_tables(comparison), costs=costs(results), gallery=gallery, bar=bar(),
        boxed=any(each.boxes for each in gallery.pictures), names=[label(each, most=40) for each in results.classes],
        methods=[label(each, number) for number, each in enumerate(study.methods)],
        paired=same_data(results), facts=facts(results), runs=runs(results), tables=tables,
        toml=visible(study.toml(), keep=JOINERS + "\n"),
    )  # fmt: skip


def _extent(results: Results) -> str:
    study = results.study
    parts = [
        counted(len(study.methods), "method"),
        counted(study.folds, "fold") if study.folds == len(study.seeds) else counted(len(study.seeds), "seed"),
        counted(len(study.sizes), "data size"),
    ]
    total = len(results.results) + len(results.failed) + len(results.missing)
    done = "all" if len(results.results) == total else f"{len(results.results)} of"
    return f"{', '.join(parts)}: {done} {total} runs finished. Network {visible(study.model.name)}."


@dataclass(frozen=True)
class Trouble:
    """Runs that are not there."""

    sentence: str
    runs: tuple[tuple[str, str], ...]
    """Run, and why it is not there."""
    more: int


def trouble(results: Results) -> Trouble | None:
    """Return which runs failed or are missing, in words; None where all are there."""
    why = {key: label(error, most=200).short for key, error in results.failed.items()}
    why |= dict.fromkeys(results.missing, "not finished") | dict.fromkeys(results.unexamined, "not examined")
    if not why:
        return None
    found = [(visible(str(key)), reason) for key, reason in why.items()]
    counts = {"failed": results.failed, "not finished yet": results.missing, "not examined yet": results.unexamined}
    parts = [f"{counted(len(keys), 'run')} {what}" for what, keys in counts.items() if keys]
    sentence = (
        f"{' and '.join(parts)}. What is said here rests on the others; a seed that lacks a run is left out of a pair."
    )
    return Trouble(sentence, tuple(found[:NAMED]), max(0, len(found) - NAMED))


def rests(comparison: Comparison) -> list[str]:
    """Say what the numbers of the answer rest on, and what they do not."""
    results = comparison.results
    return [
        *cross_validation(comparison),
        *plan(results),
        *grown(results),
        *judged_anew(results),
        *([] if results.study.folds else _intervals(len(results.study.seeds), len(results.study.others))),
        *false_discovery(comparison),
        "The last epoch is compared, which nobody chose. The best epoch stands apart: "
        f"{results.best_note or 'chosen on held-out images'}.",
    ]


def _intervals(seeds: int, others: int) -> list[str]:
    if seeds < 2:
        return ["One seed: no interval can be given, and a difference may be luck. Run more seeds, five at least."]
    return [
        f"Intervals are 95 % t intervals over {seeds} seeds: how far a number would move with other seeds, on the "
        "same test images. A difference is taken seed by seed, since all methods of a seed share first weights, "
        "images and order of batches. p is that of the paired t test"
        + (f" after Holm over {others} methods" if others > 1 else "")
        + ". Chance of improvement: how likely a run of the method beats a run of the baseline.",
        "Over seeds and pictures: how far the difference would move with other seeds and with other test pictures of "
        "the same kind.",
    ]
