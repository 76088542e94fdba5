"""A table of files and labels: which of its columns are which."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.data.parts import part_of, parts_in
from overfocus.data.paths import endings
from overfocus.data.tree import Folder

FILE = ("file", "filename", "file_name", "image", "image_id", "image_name", "img", "id", "id_code", "path", "filepath",
        "file_path", "image_path", "image index", "name", "picture")  # fmt: skip
LABEL = ("label", "labels", "class", "class_name", "class_id", "class_index", "category", "target", "breed", "species",
         "diagnosis", "dx", "finding labels", "y")  # fmt: skip
SEPARATORS = ("|", ";", ",", " ")
"""Between the names of several labels in one column: the first of these that occurs in it."""
PART = ("split", "part", "partition", "subset", "set", "phase", "usage", "dataset", "data_set", "data set")
ENOUGH = 0.5
"""The share of a column's values that must name images for it to be the column of files."""


@dataclass(frozen=True)
class LabelTable:
    """The rows of a CSV."""

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str]]

    @property
    def part(self) -> str | None:
        """The split that its name stands for: `train.csv`, `val_labels.csv`."""
        return part_of(re.sub(r"(?i)labels?|annotations?|metadata", "", self.path.stem))

    def values(self, column: str) -> list[str]:
        """Return what stands in a column."""
        return [row[column] for row in self.rows]


@dataclass(frozen=True)
class PicturesByName:
    """The images below a folder, found by the ends of their paths."""

    top: Folder

    @cached_property
    def places(self) -> dict[str, str | None]:
        """The end of a path -> the image; None where several end so."""
        found: dict[str, str | None] = {}
        for path in self.top.below():
            for end in {*endings(os.path.relpath(path, self.top.path))}:
                found[end] = None if end in found else path
        return found

    @cached_property
    def parts(self) -> dict[str, str]:
        """Folder -> the split that it is customarily called after."""
        return parts_in([each.name for each in self.top.filled])

    def find(self, name: str) -> str | None:
        """Return the image called `name`; None where there is none, or more than one."""
        return next((place for end in endings(name) if (place := self.places.get(end))), None) if name else None

    def share(self, names: Sequence[str]) -> float:
        """Return how many of the names are those of images."""
        return sum(self.find(name) is not None for name in names) / max(1, len(names))


def read_table(path: Path) -> LabelTable:
    """Read a table, whose columns are separated by commas, semicolons or tabs."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        mark = max(",;\t", key=first.count)
        lines = csv.DictReader(StringIO(text, newline=""), delimiter=mark, strict=True)
        columns = tuple(lines.fieldnames or ())
        rows = [{name: (row.get(name) or "").strip() for name in columns} for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OverfocusError(f"{path} cannot be read as a table ({error}); give a CSV in UTF-8") from error
    if len({*columns}) < len(columns):
        raise OverfocusError(f"{path}: two columns have one name; its first line must name every column once")
    return LabelTable(path, columns, rows)


def file_column(table: LabelTable, pictures: PicturesByName) -> str:
    """Return the column whose values are names of images: one that is called so, else that with most of them."""
    few = table.rows[:: max(1, len(table.rows) // 200)]
    shares = {name: pictures.share([row[name] for row in few]) for name in table.columns}
    enough = [name for name in table.columns if shares[name] >= ENOUGH]
    called = [name for name in enough if name.strip().lower() in FILE]
    return (called or sorted(enough, key=lambda name: -shares[name]) or [""])[0]


def label_columns(table: LabelTable, file: str) -> list[str]:
    """Return the column of labels, or those of the classes; none where none can be told from the others."""
    rest = [name for name in table.columns if name != file and name != part_column(table)]
    called = [name for name in rest if name.strip().lower() in LABEL]
    different = [name for name in called if not _same(table.values(called[0]), table.values(name))]
    if different:
        raise OverfocusError(
            f"{table.path}: {called[0]} and {different[0]} may both be labels; leave one of these columns, or call "
            "it label"
        )
    if called:
        return called[:1]
    if len(rest) == 1:
        return rest if len({*table.values(rest[0])}) <= len(table.rows) / 2 else []
    flags = [name for name in rest if table.rows and {*table.values(name)} <= {"0", "1", "0.0", "1.0"}]
    return flags if len(flags) > 1 else []


def multi_columns(table: LabelTable, file: str) -> list[str]:
    """Return the column that lists the labels of an image, or the columns of 0 and 1, one for each label."""
    rest = [name for name in table.columns if name != file and name != part_column(table)]
    flags = [name for name in rest if table.rows and {*table.values(name)} <= {"0", "1", "0.0", "1.0"}]
    called = [name for name in rest if name.strip().lower() in LABEL and name not in flags]
    names = called[:1] or (rest if len(rest) == 1 and not flags else [])
    return names or (flags if len(flags) > 1 else [])


def separator(table: LabelTable, column: str) -> str:
    """Return what stands between the labels of an image in `column`; "" where each has one at most."""
    return next((mark for mark in SEPARATORS if any(mark in value for value in table.values(column))), "")


def labels_of(row: Mapping[str, str], columns: Sequence[str], mark: str) -> tuple[str, ...]:
    """Return all labels of a row, in their order; none is possible."""
    if len(columns) > 1:
        return tuple(name for name in columns if float(row[name]) == 1)
    parts = row[columns[0]].split(mark) if mark else [row[columns[0]]]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Say whether two columns sort the rows into the same classes."""
    return len({*zip(one, other, strict=True)}) == len({*one}) == len({*other})


def part_column(table: LabelTable) -> str:
    """Return the column of parts: one that is called so, and whose values are customary names of parts."""
    for name in table.columns:
        if name.strip().lower() in PART and any(part_of(value) for value in {*table.values(name)}):
            return name
    return ""


def label_of(table: LabelTable, row: Mapping[str, str], columns: Sequence[str]) -> str:
    """Return the label of a row, empty where it has none."""
    if len(columns) == 1:
        return row[columns[0]]
    chosen = [name for name in columns if float(row[name]) == 1]
    if len(chosen) > 1:
        raise OverfocusError(
            f"{table.path}: a row is {' and '.join(chosen[:3])} at once; several labels for an image are read with "
            "--labels multi (data.labels), and one class each needs a single 1 in every row"
        )
    return chosen[0] if chosen else ""


def check_single(path: Path, labels: set[str]) -> None:
    """Refuse labels that are lists of other labels, such as `Edema|Effusion`."""
    for label in sorted(labels):
        parts = [part.strip() for part in re.split(r"[|;,\s]", label) if part.strip()]
        if len(parts) > 1 and all(part in labels for part in parts):
            raise OverfocusError(
                f"{path}: the label {label!r} is a list of others; several labels for an image are read with --labels "
                "multi (data.labels), and one class each needs one name in every row"
            )
