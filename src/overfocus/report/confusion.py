"""A confusion matrix as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.core.files import write
from overfocus.report.study.table_text import Column, StudyTable, as_csv
from overfocus.training.answer_report import AnswerReport


def write_confusion(path: Path, reports: Mapping[str, AnswerReport]) -> None:
    """Write one row for each class of each split: split, class, and how many of its images are named as each class, or
    have no answer, where some have none.

    Raises OverfocusError where there is no matrix: images with several labels, or cues that name different classes.
    """
    if not reports:
        raise OverfocusError(
            "--confusion: a confusion matrix is of images with one class each, and none of these splits has them; "
            "leave it out"
        )
    classes = next(iter(reports.values())).classes
    width = max(report.matrix.shape[1] for report in reports.values())
    names = ("split", "class", *classes, "no answer")[: 2 + width]
    heads = tuple(Column(name, name) for name in names)
    rows = tuple(
        (split, name, *counts, *[0] * (width - len(counts)))
        for split, report in reports.items()
        for name, counts in zip(classes, report.matrix.tolist(), strict=True)
    )
    write(path, as_csv(StudyTable("confusion", "", heads, rows)))
