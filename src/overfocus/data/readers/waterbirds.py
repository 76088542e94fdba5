"""Waterbirds as it is unpacked: metadata.csv beside a folder of images for each kind of bird.

A landbird or a waterbird (column y) from CUB-200-2011, pasted on a background of land or water (column place) from
Places, most on that of its class in training (Sagawa et al., ICLR 2020, 1911.08731). Where it lies is its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.finalize import finished
from overfocus.data.groups import ImageGroups
from overfocus.data.image_files import FileImages
from overfocus.data.inventory import Inventory
from overfocus.data.label_table import read_table
from overfocus.data.split import Dataset, Split

RANK = 22
CARD = "Waterbirds"
TABLE = "metadata.csv"
COLUMNS = ("img_filename", "y", "split", "place")
CLASSES, PLACES, PARTS = ("landbird", "waterbird"), ("land", "water"), ("train", "val", "test")
"""What the numbers in the columns y, place and split stand for."""


def recognises(path: Path) -> bool:
    """Say whether `path` is laid out so."""
    if not (path / TABLE).is_file():
        return False
    with (path / TABLE).open(encoding="utf-8-sig", errors="replace") as lines:
        return {*COLUMNS} <= {*lines.readline().strip().split(",")}


def read(path: Path, channels: int | None = None) -> Dataset:
    """Read the set unpacked at `path`; its groups are the places.

    Raises OverfocusError for a number that stands for nothing, and for an image that is not there.
    """
    table = read_table(path / TABLE)
    numbers = {
        name: [_number(row, name, len(known), path) for row in table.rows]
        for name, known in (("y", CLASSES), ("split", PARTS), ("place", PLACES))
    }
    splits = {}
    for part, name in enumerate(PARTS):
        rows = [row for row, number in enumerate(numbers["split"]) if number == part]
        if not rows:
            continue
        files = tuple(_file(path, table.rows[row]["img_filename"]) for row in rows)
        labels, places = (torch.tensor([numbers[column][row] for row in rows]) for column in ("y", "place"))
        splits[name] = Split(FileImages(path, files), labels, CLASSES, groups=ImageGroups("place", PLACES, places))
    said = Inventory(warnings=(f"Groups are 'place' of {TABLE}: {' and '.join(PLACES)}.",))
    whole = finished(path.resolve().name, splits, CLASSES, channels=channels, inventory=said)
    return replace(whole, tables=(table.path,))


def _number(row: Mapping[str, str], column: str, count: int, path: Path) -> int:
    """Return what stands in a column as a number below `count`."""
    if row[column] not in map(str, range(count)):
        raise OverfocusError(
            f"{path / TABLE}: {column} of {row['img_filename']} is {row[column]!r}; Waterbirds has 0 to {count - 1}; "
            "take the table as it was published"
        )
    return int(row[column])


def _file(path: Path, name: str) -> str:
    file = path / name
    if not file.is_file():
        raise OverfocusError(f"{path / TABLE}: no image {name}; unpack the whole archive")
    return str(file)
