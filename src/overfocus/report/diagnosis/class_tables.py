"""The classes of a diagnosis in files: what each is named as, and how well it is found."""

from __future__ import annotations

from pathlib import Path

from overfocus.core.files import write
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sections.answers import confusion_of
from overfocus.metrics.answers import class_scores
from overfocus.report.confusion import confusion_csv
from overfocus.report.study.table_text import Column, StudyTable, as_csv

CONFUSION, CLASSES = "confusion.csv", "classes.csv"


def write_classes(evidence: Evidence, folder: Path) -> None:
    """Write `confusion.csv`, a row for each class and a column for each answer; and `classes.csv`, with precision,
    recall and F1 of each class, their 95 % intervals, its images, and how many images are named so.
    """
    matrix, classes = confusion_of(evidence), evidence.classes
    write(folder / CONFUSION, confusion_csv(classes, {(): matrix}))
    each, named = class_scores(matrix, seed=evidence.seed), matrix[:, : len(matrix)].sum(axis=0).tolist()
    rows = tuple(
        (name, *scores.values(), support, given)
        for name, scores, support, given in zip(classes, each, matrix.sum(axis=1).tolist(), named, strict=True)
    )
    heads = ("class", "precision", "recall", "f1", "images", "named")
    write(folder / CLASSES, as_csv(StudyTable("", "", tuple(Column(each, each) for each in heads), rows)))
