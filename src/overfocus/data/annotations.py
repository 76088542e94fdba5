"""Boxes and masks that lie beside images: a CSV, a COCO JSON, a folder of VOC XML, a folder of masks."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.image_files import opened
from overfocus.data.images import Images, TensorImages
from overfocus.data.resize import Size
from overfocus.data.split import Dataset, Split

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, x1 and y1 excluded."""
Marked = tuple[str, Corners]
"""A file as the annotation names it, and a box on it."""
COLUMNS = ("file", "x0", "y0", "x1", "y1")
DEPTH = 4
"""How many parts of a path, from its end, are compared."""


@dataclass
class Report:
    """What was wrong with the annotations."""

    unknown: int = 0
    degenerate: int = 0
    clipped: int = 0
    example: str = ""

    def __str__(self) -> str:
        lost = f"{self.unknown} annotations name no file of the set, or more than one (such as {self.example})"
        found = {
            lost: self.unknown,
            f"{self.degenerate} boxes without area are left out": self.degenerate,
            f"{self.clipped} boxes reach beyond their image and are clipped": self.clipped,
        }
        said = [sentence for sentence, count in found.items() if count]
        return f"Annotations: {'; '.join(said)}." if said else ""


def annotated(dataset: Dataset, path: Path) -> Dataset:
    """Lay the boxes or masks at `path` beside the images of `dataset`; an image without any gets none."""
    if not path.exists():
        raise OverfocusError(f"boxes: nothing at {path}; give a CSV, a COCO JSON, or a folder of VOC XML or of masks")
    if any(isinstance(split.images, TensorImages) for split in dataset.splits.values()):
        raise OverfocusError(
            f"boxes: {dataset.name} has no files that {path} could name; boxes go beside a folder of images"
        )
    report, places = Report(), _places(dataset)
    if path.is_dir() and not any(path.glob("*.xml")):
        return _with_masks(dataset, path, places, report).noting(str(report))
    return _with_boxes(dataset, _read(path), places, report).noting(str(report))


def tidy(boxes: Tensor, size: Size, report: Report, least: int = 1) -> Tensor:
    """Clip `boxes` [n, 4] to an image of `size`, leave out those under `least` pixels wide or high, count both."""
    inside, wide = clipped(boxes, size, report, least)
    return inside[wide]


def clipped(boxes: Tensor, size: Size, report: Report, least: int = 1) -> tuple[Tensor, Tensor]:
    """Clip `boxes` [n, 4] to an image of `size`; return them and which [n] are `least` pixels wide and high."""
    limit = torch.tensor([size[1], size[0]] * 2)
    inside = torch.cat((boxes[:, :2].floor(), boxes[:, 2:].ceil()), dim=1).long().clamp(min=0).minimum(limit)
    report.clipped += int(((boxes < 0) | (boxes > limit)).any(dim=1).sum())
    wide = (inside[:, 2:] - inside[:, :2] >= least).all(dim=1)
    report.degenerate += int((~wide).sum())
    return inside, wide


def _read(path: Path) -> Iterable[Marked]:
    if path.is_dir():
        return _from_voc(path)
    readers = {".csv": _from_csv, ".json": _from_coco}
    if path.suffix.lower() not in readers:
        raise OverfocusError(
            f"boxes: {path} is neither .csv nor .json; give one of these, or a folder of VOC XML or of masks"
        )
    try:
        return list(readers[path.suffix.lower()](path))
    except (KeyError, ValueError, TypeError) as error:
        raise OverfocusError(f"boxes: {path} cannot be read ({type(error).__name__}: {error}); {_FORMS}") from error


_FORMS = "a CSV has the columns file,x0,y0,x1,y1; a COCO JSON has images[id, file_name] and annotations[image_id, bbox]"


def _from_csv(path: Path) -> Iterator[Marked]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise OverfocusError(
                f"boxes: {path} has no column {missing[0]!r}; its first line must name {','.join(COLUMNS)}"
            )
        for row in table:
            yield row["file"], (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))


def _from_coco(path: Path) -> Iterator[Marked]:
    """Read `bbox`, which is x, y, width, height."""
    content = json.loads(path.read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in content["images"]}
    for each in content["annotations"]:
        x, y, width, height = map(float, each["bbox"])
        yield files.get(each["image_id"], f"image id {each['image_id']}"), (x, y, x + width, y + height)


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds a tree, and refuses a document type before anything that it defines is expanded."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse it."""
        raise ValueError(f"a document type {name!r}, which could define entities")


def voc_page(path: Path) -> ElementTree.Element:
    """Parse an XML of VOC; ParseError or ValueError where it is none, or has a document type."""
    return ElementTree.parse(path, ElementTree.XMLParser(target=_NoDoctype())).getroot()


def voc_corners(box: ElementTree.Element) -> Corners:
    """Return the corners of a `bndbox`, whose pixels count from 1 and whose ends both lie inside."""
    x0, y0, x1, y1 = (float(box.findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax"))
    return x0 - 1, y0 - 1, x1, y1


def _from_voc(folder: Path) -> Iterator[Marked]:
    for path in sorted(folder.glob("*.xml")):
        try:
            for box in voc_page(path).iterfind("object/bndbox"):
                yield path.stem, voc_corners(box)
        except (ElementTree.ParseError, ValueError) as error:
            raise OverfocusError(f"boxes: {path} is not VOC XML ({error}); mend or remove it") from error


Place = tuple[str, int]
"""Split and row."""


def _places(dataset: Dataset) -> dict[str, Place | None]:
    """Return where each file is, by each ending of its path, with and without extension; None for several."""
    places: dict[str, Place | None] = {}
    for name, split in dataset.splits.items():
        for row in range(len(split)):
            for key in _endings(split.images.name(row)):
                places[key] = None if key in places else (name, row)
    return places


def _endings(file: str) -> Iterator[str]:
    """Yield the last parts of a path, the longest first."""
    parts = PurePath(file.replace("\\", "/")).parts
    for count in range(min(DEPTH, len(parts)), 0, -1):
        ending = PurePath(*parts[-count:])
        yield ending.as_posix()
        if ending.suffix:
            yield ending.with_suffix("").as_posix()


def _find(places: dict[str, Place | None], file: str, report: Report) -> Place | None:
    for ending in _endings(file):
        if place := places.get(ending):
            return place
    report.unknown += 1
    report.example = report.example or file
    return None


def _with_boxes(dataset: Dataset, marked: Iterable[Marked], places: dict[str, Place | None], report: Report) -> Dataset:
    found: dict[Place, list[Corners]] = defaultdict(list)
    for file, corners in marked:
        if place := _find(places, file, report):
            found[place].append(corners)
    splits = {}
    for name, split in dataset.splits.items():
        boxes = [torch.zeros(0, 4, dtype=torch.int64)] * len(split)
        for row in (row for part, row in found if part == name):
            boxes[row] = tidy(torch.tensor(found[name, row]), split.images.size(row), report)
        splits[name] = replace(split, boxes=boxes)
    return replace(dataset, splits=splits)


@dataclass(frozen=True, eq=False)
class MaskFiles:
    """Masks in files: whatever is not 0 belongs to the object."""

    images: Images
    paths: Sequence[str | None]

    def __getitem__(self, index: int, /) -> Tensor:
        path, size = self.paths[index], self.images.size(index)
        if path is None:
            return torch.zeros(size, dtype=torch.bool)
        with opened(path, path) as picture:
            mask = torch.from_numpy(np.array(picture) != 0)
        mask = mask if mask.ndim == 2 else mask.any(dim=2)
        if mask.shape != size:
            raise OverfocusError(
                f"{path}: a mask of {mask.shape[0]} x {mask.shape[1]} pixels for an image of {size[0]} x {size[1]}; "
                "masks have the size of their image"
            )
        return mask


def _with_masks(dataset: Dataset, folder: Path, places: dict[str, Place | None], report: Report) -> Dataset:
    files: dict[str, list[str | None]] = {name: [None] * len(split) for name, split in dataset.splits.items()}
    masks = sorted(path for path in folder.rglob("*.png") if not path.name.startswith("."))
    if not masks:
        raise OverfocusError(
            f"boxes: {folder} has neither .xml nor .png files; give VOC XML, or masks named like their images"
        )
    for path in masks:
        if place := _find(places, path.relative_to(folder).with_suffix("").as_posix(), report):
            files[place[0]][place[1]] = str(path)

    def masked(name: str, split: Split) -> Split:
        return replace(split, masks={**split.masks, "object": MaskFiles(split.images, files[name])})

    return replace(dataset, splits={name: masked(name, split) for name, split in dataset.splits.items()})
