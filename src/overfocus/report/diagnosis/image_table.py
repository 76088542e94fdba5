"""A table with a row for each image of a diagnosis: the image, its heat map and every number, in files that pandas,
Renumics Spotlight and FiftyOne read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from overfocus.core.files import write
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.sample import Sample
from overfocus.report.drawing.overlay import evidence_at, overlay, picture
from overfocus.report.study.table_text import Cell, Column, StudyTable, as_csv

TABLE = "images.csv"
PICTURES, MAPS, OVERLAYS = "picture", "map", "overlay"
"""Columns that hold paths, relative to the folder of the table; each is also the folder in which these files lie."""


def write_images(diagnosis: Diagnosis, sample: Sample, folder: Path) -> None:
    """Write `images.csv` and its pictures into `folder`: the image in pixels as the model saw it; its map for the
    predicted class, grey, 255 at the maximum of the map as the network has it; and one over the other.
    """
    for name in (PICTURES, MAPS, OVERLAYS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    maps = diagnosis.evidence.tensor("maps/predicted")
    for portion in sample.batches(None):
        for row, pixels in zip(portion.rows.tolist(), portion.pixels.cpu(), strict=True):
            _draw(folder, _file(row), pixels, maps[row])
    write(folder / TABLE, csv_of(rows_of(diagnosis, sample.names)))


def rows_of(diagnosis: Diagnosis, names: Sequence[str]) -> list[dict[str, Cell]]:
    """Return what is known of each image, NaN where it has no answer or a section did not evaluate it.

    names: of the images [N]. Columns are paths, file, label, predicted, right, confidence, `flagged` (the predicted
    class is suspected of a shortcut, if that was evaluated), and SECTION_METRIC for every mean over images.
    """
    evidence, findings = diagnosis.evidence, diagnosis.findings
    confidence, predicted = evidence.logits.softmax(dim=1).max(dim=1)
    suspected = [found.flagged for found in findings if found.flagged is not None]
    flagged = frozenset().union(*suspected)
    metrics = {f"{found.name}_{name}": values for found in findings for name, (_, values) in found.per_image.items()}
    return [
        {
            **{column: f"{column}/{_file(row)}" for column in (PICTURES, MAPS, OVERLAYS)},
            "file": str(names[row]),
            "label": evidence.classes[label],
            "predicted": evidence.classes[answer],
            "right": str(label == answer),
            "confidence": float(confidence[row]),
            **({"flagged": str(answer in flagged)} if suspected else {}),
            **{name: float(values[row]) for name, values in metrics.items()},
        }
        for row, (label, answer) in enumerate(zip(evidence.labels.tolist(), predicted.tolist(), strict=True))
    ]


def csv_of(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows of the same columns as CSV; unknown values are empty, and no name is a formula to a spreadsheet."""
    heads = tuple(Column(name, name) for name in rows[0])
    return as_csv(StudyTable("", "", heads, tuple(tuple(row.values()) for row in rows)))


def _draw(folder: Path, name: str, pixels: Tensor, map: Tensor) -> None:
    height, width = pixels.shape[1:]
    grey = (evidence_at(map, (height, width)) * 255).round().astype(np.uint8)
    picture(pixels, side=1).save(folder / PICTURES / name)
    Image.fromarray(grey).save(folder / MAPS / name)
    overlay(pixels, map).save(folder / OVERLAYS / name)


def _file(row: int) -> str:
    return f"{row:06d}.png"
