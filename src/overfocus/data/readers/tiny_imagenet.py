"""Tiny-ImageNet as it is unpacked: wnids.txt, words.txt, train/<wnid>, val, and a box for each picture."""

from __future__ import annotations

from pathlib import Path

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxReport, clipped
from overfocus.data.finalize import check_classes
from overfocus.data.image_files import FileImages
from overfocus.data.split import Dataset, Split

MEAN, STD = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)
NOTE = "Tiny-ImageNet: ImageNet's terms, non-commercial research only. Evaluated on its validation pictures."

Row = tuple[str, int, list[int]]
"""File, label, box as (x0, y0, x1, y1), ends excluded."""


RANK = 10
CARD = "Tiny-ImageNet"


def recognises(path: Path) -> bool:
    """Say whether `path` is laid out so."""
    return (path / "wnids.txt").is_file()


def read(path: Path, channels: int | None = None) -> Dataset:
    """Read the set unpacked at `path`, in RGB; `val`, the only labelled part beside `train`, becomes its test."""
    wnids = _lines(path / "wnids.txt")
    words = dict(line.split("\t", 1) for line in _lines(path / "words.txt")) if (path / "words.txt").is_file() else {}
    wnids = sorted(wnid for wnid in wnids if (path / "train" / wnid).is_dir())
    classes = tuple(words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids)
    if len(set(classes)) < len(classes):
        classes = tuple(f"{name} ({wnid})" for name, wnid in zip(classes, wnids, strict=True))
    check_classes(str(path), classes)
    number = {wnid: label for label, wnid in enumerate(wnids)}
    report = BoxReport()
    train = [row for wnid in wnids for row in _train_rows(path, wnid, number[wnid])]
    splits = {
        "train": _split(path, train, classes, report),
        "test": _split(path, _val_rows(path, number), classes, report),
    }
    return Dataset(path.resolve().name, splits, classes, MEAN, STD, NOTE).noting(str(report))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.strip()]


def _train_rows(path: Path, wnid: str, label: int) -> list[Row]:
    folder = path / "train" / wnid
    rows = (line.split() for line in _lines(folder / f"{wnid}_boxes.txt"))
    return [(str(folder / "images" / file), label, _box(corners)) for file, *corners in rows]


def _val_rows(path: Path, number: dict[str, int]) -> list[Row]:
    table = path / "val" / "val_annotations.txt"
    if not table.is_file():
        raise OverfocusError(f"{path}: Tiny-ImageNet without {table.relative_to(path)}; unpack the whole archive")
    rows = (line.split("\t") for line in _lines(table))
    return [
        (str(path / "val" / "images" / file), number[wnid], _box(box)) for file, wnid, *box in rows if wnid in number
    ]


def _box(corners: list[str]) -> list[int]:
    """Read x0, y0, x1, y1 whose ends both lie inside; return them with the ends excluded."""
    x0, y0, x1, y1 = map(int, corners)
    return [x0, y0, x1 + 1, y1 + 1]


def _split(root: Path, rows: list[Row], classes: tuple[str, ...], report: BoxReport) -> Split:
    images = FileImages(root, tuple(file for file, _, _ in rows))
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    # All pictures of the set have 64 x 64 pixels.
    boxes, wide = clipped(torch.tensor([box for _, _, box in rows]).view(-1, 4), (64, 64), report, least=2)
    none = boxes[:0]
    found = [box if good else none for box, good in zip(boxes.split(1), wide.tolist(), strict=True)]
    return Split(images, labels, classes, found)
