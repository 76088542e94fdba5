"""The groups of images, read from a column of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from overfocus.core.classes import numbered
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.words import counted, listed
from overfocus.data.groups import ImageGroups
from overfocus.data.images import TensorImages
from overfocus.data.label_table import FILE, LabelTable, read_table
from overfocus.data.places import Place, Places, place_of, places_in
from overfocus.data.split import Dataset

FILE_AND_COLUMN = re.compile(r"(?is)(.+\.(?:csv|tsv)):(.+)")
SHOWN = 6
"""Groups that a note lists, the largest first."""


def grouped(dataset: Dataset, group: str, folder: Path | None = None) -> Dataset:
    """Give every image of `dataset` its group.

    group: `COLUMN`, of the table that the labels come from, or `FILE.csv:COLUMN`, of one whose rows name the images as
    files of boxes do. folder: where FILE is sought too. Raises OverfocusError where there is no such column, and where
    an image has no value in it, or two.
    """
    paths, column = _named(dataset, group, folder)
    if any(isinstance(split.images, TensorImages) for split in dataset.splits.values()):
        raise OverfocusError(f"group: {dataset.name} has no files that {paths[0]} could name; give a folder of images")
    tables, places = [read_table(path) for path in paths], places_in(dataset)
    found: dict[Place, str] = {}
    unknown = sum(_read(table, column, places, found) for table in tables)
    _check_whole(dataset, found, tables, column)
    numbers = _numbers(found.values())
    splits = {
        name: replace(
            split,
            groups=ImageGroups(
                column, tuple(numbers), torch.tensor([numbers[found[name, row]] for row in range(len(split))])
            ),
        )
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits).noting(_said(column, tables, Counter(found.values()), unknown))


def _named(dataset: Dataset, group: str, folder: Path | None) -> tuple[Sequence[Path], str]:
    """Return the tables and the column that `group` names."""
    if match := FILE_AND_COLUMN.fullmatch(group):
        path, column = Path(match[1]), match[2]
        beside = path if folder is None else folder / path
        path = path if path.is_file() else beside
        if not path.is_file():
            raise OverfocusError(f"group: no file {match[1]!r}; give FILE.csv:COLUMN, with a file of one row an image")
        return (path,), column
    if not dataset.tables:
        raise OverfocusError(
            f"group: the labels of {dataset.name} come from no CSV that could have a column {group!r}; give "
            "FILE.csv:COLUMN, with a file whose rows name the images"
        )
    return dataset.tables, group


def _read(table: LabelTable, column: str, places: Places, found: dict[Place, str]) -> int:
    """Add the group of each image that the table names to `found`; return how many rows name none."""
    if column not in table.columns:
        raise UnknownName(f"column of {table.path}", column, table.columns)
    file, unknown = _file_column(table, places), 0
    for row in table.rows:
        if (place := place_of(places, row[file])) is None:
            unknown += 1
            continue
        value = row[column]
        if not value:
            raise OverfocusError(
                f"{table.path}: {row[file]} has no value in the column {column!r}; write one for it, such as unknown"
            )
        if found.setdefault(place, value) != value:
            raise OverfocusError(
                f"{table.path}: {row[file]} is {found[place]!r} and {value!r} in the column {column!r}; give an image "
                "one group"
            )
    return unknown


def _file_column(table: LabelTable, places: Places) -> str:
    """Return the column that names most images: of those that are called so, else of all."""

    def named(columns: Sequence[str]) -> tuple[int, str]:
        counts = [(sum(place_of(places, row[name]) is not None for row in table.rows), name) for name in columns]
        return max(counts, key=lambda each: each[0], default=(0, ""))

    usual = [name for name in table.columns if name.strip().lower() in FILE]
    count, column = named(usual)
    if not count:
        count, column = named(table.columns)
    if not count:
        raise OverfocusError(
            f"group: no column of {table.path} names an image of the data; there are {', '.join(table.columns)}"
        )
    return column


def _check_whole(dataset: Dataset, found: Mapping[Place, str], tables: Sequence[LabelTable], column: str) -> None:
    """Refuse images without a group."""
    without = [
        (name, row) for name, split in dataset.splits.items() for row in range(len(split)) if (name, row) not in found
    ]
    if without:
        name, row = without[0]
        which = dataset.splits[name].images.name(row)
        more = f" and {len(without) - 1:,} more" if len(without) > 1 else ""
        raise OverfocusError(
            f"group: no row of {listed([str(each.path) for each in tables], 2)} names {which}{more}; give every image "
            f"a row with its {column!r}"
        )


def _numbers(values: Iterable[str]) -> dict[str, int]:
    """Return each group with its place: by number where all are numbers, else by name."""
    names = sorted({*values})
    return {name: place for place, name in enumerate(sorted(names, key=int) if numbered(names) else names)}


def _said(column: str, tables: Sequence[LabelTable], counts: Counter[str], unknown: int) -> str:
    sizes = listed([f"{name} ({count:,})" for name, count in counts.most_common()], SHOWN)
    left = f"; {counted(unknown, 'row')} name no image of it" if unknown else ""
    return f"Groups are {column!r} of {listed([each.path.name for each in tables], 2)}: {sizes}{left}."
