"""CUB-200-2011 as it is unpacked: images/ and the tables that give label, part and box."""

from __future__ import annotations

from pathlib import Path

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxReport, clipped
from overfocus.data.decode import channel_statistics
from overfocus.data.finalize import check_classes
from overfocus.data.image_files import FileImages
from overfocus.data.split import Dataset, Split

NOTE = "CUB-200-2011: non-commercial research and education only."

Table = dict[str, str]
"""Image id -> the rest of its line."""


RANK = 20
CARD = "CUB-200"


def recognises(path: Path) -> bool:
    """Say whether `path` is laid out so."""
    return (path / "image_class_labels.txt").is_file()


def read(path: Path, channels: int | None = None) -> Dataset:
    """Read the set unpacked at `path`, in RGB."""
    files, labels, parts = (
        _table(path, f"{name}.txt") for name in ("images", "image_class_labels", "train_test_split")
    )
    boxes = _table(path, "bounding_boxes.txt") if (path / "bounding_boxes.txt").is_file() else None
    named = _table(path, "classes.txt")
    classes = tuple(named[number].partition(".")[2] or named[number] for number in sorted(named, key=int))
    check_classes(str(path), classes)
    report, number = BoxReport(), {number: row for row, number in enumerate(sorted(named, key=int))}
    splits = {}
    for name, flag in (("train", "1"), ("test", "0")):
        chosen = [each for each in files if parts[each] == flag]
        images = FileImages(path, tuple(str(path / "images" / files[each]) for each in chosen))
        target = torch.tensor([number[labels[each]] for each in chosen], dtype=torch.int64)
        found = None if boxes is None else [_box(images, row, boxes[each], report) for row, each in enumerate(chosen)]
        splits[name] = Split(images, target, classes, found)
    mean, std = channel_statistics(splits["train"].images)
    return Dataset(path.resolve().name, splits, classes, mean, std, NOTE).noting(str(report))


def _table(path: Path, name: str) -> Table:
    file = path / name
    if not file.is_file():
        raise OverfocusError(f"{path}: CUB-200 without {name}; unpack the whole archive")
    return dict(line.split(maxsplit=1) for line in file.read_text().splitlines() if line.strip())


def _box(images: FileImages, row: int, line: str, report: BoxReport) -> torch.Tensor:
    """Read x, y, width, height."""
    x, y, width, height = map(float, line.split())
    box = torch.tensor([[x, y, x + width, y + height]])
    try:
        inside, wide = clipped(box, images.size(row), report)
        return inside[wide]
    except OverfocusError:
        # A damaged image is reported when it is read.
        return box[:0].long()
