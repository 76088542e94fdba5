"""Boxes and masks that lie beside images, matched to them by their file names.

A CSV, a COCO JSON, a folder of VOC XML, or a folder of masks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxAnnotation, BoxReport, Corners, Unit, clipped, in_pixels, unit_of
from overfocus.data.images import Images, TensorImages
from overfocus.data.mask_files import MaskFiles, mask_files
from overfocus.data.mask_labels import has_border
from overfocus.data.places import Place, Places, place_of, places_in
from overfocus.data.readers import coco, csv_boxes, voc
from overfocus.data.split import Dataset, Split

FILES = {".csv": csv_boxes, ".json": coco}


def annotated(dataset: Dataset, path: Path) -> Dataset:
    """Lay the boxes or masks at `path` beside the images of `dataset`; an image without any gets none."""
    if not path.exists():
        raise OverfocusError(f"boxes: nothing at {path}; give a CSV, a COCO JSON, or a folder of VOC XML or of masks")
    if any(isinstance(split.images, TensorImages) for split in dataset.splits.values()):
        raise OverfocusError(
            f"boxes: {dataset.name} has no files that {path} could name; boxes go beside a folder of images"
        )
    report, places = BoxReport(), places_in(dataset)
    if path.is_dir() and not any(path.glob("*.xml")):
        dataset = _with_masks(dataset, path, places, report)
    else:
        dataset = _with_boxes(dataset, list(_named_boxes(path)), places, report, str(path))
    return replace(dataset, inventory=dataset.inventory.without(*report.not_used())).noting(str(report))


def _named_boxes(path: Path) -> Iterable[tuple[str, list[BoxAnnotation]]]:
    if path.is_dir():
        return voc.named_boxes(path)
    if path.suffix.lower() not in FILES:
        raise OverfocusError(
            f"boxes: {path} is neither .csv nor .json; give one of these, or a folder of VOC XML or of masks"
        )
    return FILES[path.suffix.lower()].named_boxes(path)


def _find(places: Places, file: str, count: int, report: BoxReport) -> Place | None:
    """Return where the image called `file` is; where there is none, count its annotations."""
    if place := place_of(places, file):
        return place
    report.unknown += count
    report.example = report.example or file
    return None


def _with_boxes(
    dataset: Dataset, named: Sequence[tuple[str, list[BoxAnnotation]]], places: Places, report: BoxReport, where: str
) -> Dataset:
    unit = unit_of((box.corners for _, boxes in named for box in boxes), f"boxes: {where}")
    corners: dict[Place, list[Corners]] = defaultdict(list)
    for file, boxes in named:
        if boxes and (place := _find(places, file, len(boxes), report)):
            corners[place] += [box.corners for box in boxes]
    splits = {}
    for name, split in dataset.splits.items():
        boxes = [torch.zeros(0, 4, dtype=torch.int64)] * len(split)
        for row in (row for part, row in corners if part == name):
            boxes[row] = _on_image(torch.tensor(corners[name, row]), split.images, row, unit, report)
        splits[name] = replace(split, boxes=boxes)
    shares = "The boxes are shares of width and height, since all lie between 0 and 1." if unit == "shares" else ""
    return replace(dataset, splits=splits).noting(shares)


def _on_image(boxes: Tensor, images: Images, row: int, unit: Unit, report: BoxReport) -> Tensor:
    """Return the boxes of an image in whole pixels [n, 4]; none of one that cannot be read, which is told elsewhere."""
    try:
        size = images.size(row)
    except OverfocusError:
        report.unread += len(boxes)
        return torch.zeros(0, 4, dtype=torch.int64)
    inside, wide = clipped(in_pixels(boxes, size, unit), size, report)
    return inside[wide]


def _with_masks(dataset: Dataset, folder: Path, places: Places, report: BoxReport) -> Dataset:
    paths = mask_files(folder)
    border = has_border(paths)
    files: dict[str, list[str | None]] = {name: [None] * len(split) for name, split in dataset.splits.items()}
    how = dataset.preprocess
    for path in paths:
        if place := _find(places, path.relative_to(folder).with_suffix("").as_posix(), 1, report):
            if (other := files[place[0]][place[1]]) is not None:
                raise OverfocusError(f"boxes: {other} and {path} are masks of one image; keep one of them")
            files[place[0]][place[1]] = str(path)

    def masked(name: str, split: Split) -> Split:
        masks = MaskFiles(split.images, files[name], how.orientation, border)
        return replace(split, masks={**split.masks, "object": masks})

    splits = {name: masked(name, split) for name, split in dataset.splits.items()}
    said = "In the masks 255, beside other labels, is the border of an object, as in VOC, and no part of it."
    return replace(dataset, splits=splits).noting(said if border else "")
