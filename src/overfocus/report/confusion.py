"""Confusion matrices as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.core.files import write
from overfocus.report.study.table_text import Column, StudyTable, as_csv
from overfocus.training.answer_report import AnswerReport


def confusion_csv(
    classes: Sequence[str], matrices: Mapping[tuple[str, ...], np.ndarray], before: tuple[str, ...] = ()
) -> str:
    """Return one row for each class of each matrix: what is said of the matrix, in columns called `before`, the class,
    and how many of its images are named as each class, or have no answer, where some have none.

    matrices: what is said -> [K, K] or [K, K + 1].
    """
    width = max(matrix.shape[1] for matrix in matrices.values())
    names = (*before, "class", *(*classes, "no answer")[:width])
    rows = tuple(
        (*said, name, *counts, *[0] * (width - len(counts)))
        for said, matrix in matrices.items()
        for name, counts in zip(classes, matrix.tolist(), strict=True)
    )
    return as_csv(StudyTable("", "", tuple(Column(name, name) for name in names), rows))


def write_confusion(path: Path, reports: Mapping[str, AnswerReport]) -> None:
    """Write the confusion matrix of each split, with a column `split`.

    Raises OverfocusError where there is no matrix: images with several labels, or cues that name different classes.
    """
    if not reports:
        raise OverfocusError(
            "--confusion: a confusion matrix is of images with one class each, and none of these splits has them; "
            "leave it out"
        )
    classes = next(iter(reports.values())).classes
    matrices = {(split,): report.matrix for split, report in reports.items()}
    write(path, confusion_csv(classes, matrices, ("split",)))
