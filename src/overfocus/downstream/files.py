"""Sets of objects in files: what COCO and VOC have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.data.boxes import BoxAnnotation, BoxReport, Unit, clipped, in_pixels, unit_of
from overfocus.data.image_files import FileImages
from overfocus.downstream.objects import Objects, ObjectSet

Decoding = tuple[int, Preprocess]
"""Channels, and how pictures are turned and brought to 8 bits."""
Row = tuple[Path, Sequence[BoxAnnotation]]
"""An image file, and the boxes on it."""


def object_set(
    root: Path, parts: Sequence[Sequence[Row]], classes: Mapping[Any, str], how: Decoding, hard: str
) -> ObjectSet:
    """Return the set below `root` of the `parts` train and test; `classes`: label -> name, in the order of classes.

    Boxes are rounded outwards and clipped to their image. Hard ones, which the note calls `hard`, and those without
    area are left out and counted in the note.
    """
    report, count = BoxReport(), sum(box.hard for rows in parts for _, boxes in rows for box in boxes)
    number = {label: position for position, label in enumerate(classes)}
    unit = unit_of((box.corners for rows in parts for _, boxes in rows for box in boxes), str(root))
    objects = [_objects(root, rows, number, how, report, unit) for rows in parts]
    note = f"Objects: {count} {hard} are left out." if count else ""
    note = " ".join(filter(None, (note, str(report))))
    return ObjectSet(root.resolve().name, *objects, classes=tuple(classes.values()), note=note)


def _objects(
    root: Path, rows: Sequence[Row], number: Mapping[Any, int], how: Decoding, report: BoxReport, unit: Unit
) -> Objects:
    images = FileImages(root, tuple(str(file) for file, _ in rows), *how)
    boxes, labels = [], []
    for index, (_, stated) in enumerate(rows):
        easy = [box for box in stated if not box.hard]
        corners = torch.tensor([box.corners for box in easy]).view(-1, 4)
        size = images.size(index)
        inside, wide = clipped(in_pixels(corners, size, unit), size, report)
        boxes.append(inside[wide])
        labels.append(torch.tensor([number[box.label] for box in easy], dtype=torch.int64)[wide])
    return Objects(images, boxes, labels)


def below(folder: Path, name: str, where: Path) -> Path:
    """Return the file called `name` in `folder`; OverfocusError where the name, which the file `where` gives, leads
    out of it.
    """
    parts = PurePath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in name or ":" in parts.parts[0]:
        raise OverfocusError(f"{where}: the image {name!r} does not lie in {folder}; give names of files below it")
    return folder / parts
