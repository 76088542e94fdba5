"""Predictions as CSV and JSON, written row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from overfocus.core.files import replacing
from overfocus.core.prediction import Prediction
from overfocus.report.study.table_text import csv_cells

OnRow = Callable[[Prediction], None]


@contextmanager
def csv_file(path: Path, top: int, labels: Sequence[str] = ()) -> Iterator[OnRow]:
    """Give what writes a row; what was written becomes `path` when all went well.

    top: how many classes are named of each picture. labels: all of them, where a picture may have several.
    """
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        yield _of_labels(file, labels) if labels else _of_classes(file, top)


def _of_classes(file: IO[str], top: int) -> OnRow:
    writer = csv.writer(file, lineterminator="\n")
    others = range(2, max(top, 1) + 1)
    ranked = [name for place in others for name in (f"class_{place}", f"confidence_{place}")]
    writer.writerow(["file", "class", "confidence", "unsure", *ranked, "effective_area", "map", "error"])

    def write(row: Prediction) -> None:
        next_ones = [cell for pair in row.runners_up for cell in pair]
        unsure = None if row.unsure is None else ("no", "yes")[row.unsure]
        cells = (row.file, row.predicted, row.confidence, unsure, *next_ones, *[None] * (len(ranked) - len(next_ones)),
                 row.effective_area, row.map, row.error)  # fmt: skip
        writer.writerow(csv_cells(cells))

    return write


def _of_labels(file: IO[str], labels: Sequence[str]) -> OnRow:
    """Write the labels that are given, with | between them as tables for training have them, and all probabilities."""
    writer = csv.writer(file, lineterminator="\n")
    names = [f"probability_{label}" for label in labels]
    writer.writerow(csv_cells(("file", "labels", *names, "effective_area", "map", "error")))

    def write(row: Prediction) -> None:
        shares = [share for _, share in row.probabilities] or [None] * len(labels)
        cells = (row.file, "|".join(row.labels or ()), *shares, row.effective_area, row.map, row.error)
        writer.writerow(csv_cells(cells))

    return write


@contextmanager
def json_list(file: IO[str]) -> Iterator[OnRow]:
    """Give what writes each prediction into a JSON list as it comes."""
    between = "[\n"

    def write(row: Prediction) -> None:
        nonlocal between
        file.write(between + json.dumps(row.as_dict()))
        between = ",\n"

    yield write
    file.write("\n]\n")
