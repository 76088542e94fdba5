"""Sets of objects in files: what COCO and VOC have in common, and how their folders are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePath

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.annotations import Corners, Report, clipped
from overfocus.data.image_files import FileImages
from overfocus.downstream.objects import Objects

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Found:
    """An image file, and the objects that are said to be on it."""

    file: Path
    boxes: Sequence[Corners] = ()
    labels: Sequence[int] = ()


def objects_in(root: Path, found: Iterable[Found], channels: int, report: Report) -> Objects:
    """Put the objects of image files below `root` together; boxes are clipped to their image, and those without area
    are left out; both are counted in `report`.
    """
    rows = list(found)
    images = FileImages(root, tuple(str(row.file) for row in rows), channels)
    boxes, labels = [], []
    for index, row in enumerate(rows):
        inside, wide = clipped(torch.tensor(row.boxes).view(-1, 4), images.size(index), report)
        boxes.append(inside[wide])
        labels.append(torch.tensor(row.labels, dtype=torch.int64)[wide])
    return Objects(images, boxes, labels)


def below(folder: Path, name: str, where: Path) -> Path:
    """Return the file that is called `name` in `folder`; OverfocusError where the name, written in the file `where`,
    leads out of it.
    """
    parts = PurePath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in name or ":" in parts.parts[0]:
        raise OverfocusError(f"{where}: the image {name!r} does not lie in {folder}; give names of files below it")
    return folder / parts


def finite(numbers: Sequence[float], where: str) -> Corners:
    """Return four corners; OverfocusError where one of them is no finite number, or where they are not four."""
    if len(numbers) != 4 or not all(map(isfinite, numbers)):
        raise OverfocusError(f"{where}: a box is {list(numbers)}; give four finite numbers")
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1


def left_out(report: Report, kinds: dict[str, int]) -> str:
    """Say in a note what was left out: {kind of object: how many}, and what `report` counts."""
    said = [f"{count} {kind} are left out" for kind, count in kinds.items() if count]
    return " ".join(filter(None, (f"Objects: {'; '.join(said)}." if said else "", str(report))))
