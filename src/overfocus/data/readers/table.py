"""A CSV of files and labels beside their images, as Kaggle lays them out.

Columns: one of file names, with or without suffix; one of labels, or several of 0 and 1, one for each class; and, where
there is one, that of the part. `train.csv`, `val.csv` and `test.csv` are parts too. That an image may have several
labels is said by whoever reads the table, and never guessed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from overfocus.core.classes import check_names, number_warning, numbered
from overfocus.core.errors import OverfocusError
from overfocus.data.finalize import check_classes, finished
from overfocus.data.image_files import FileImages
from overfocus.data.inventory import Inventory, NotUsed
from overfocus.data.label_table import (
    LabelTable,
    PicturesByName,
    check_single,
    file_column,
    label_columns,
    label_of,
    labels_of,
    multi_columns,
    part_column,
    read_table,
    separator,
)
from overfocus.data.parts import part_of
from overfocus.data.split import Dataset, Split
from overfocus.data.tree import Folder, Leftovers, read_tree

RANK = 80
CARD = "a CSV of file and label beside images"

SUFFIXES = (".csv", ".tsv")
AND = "\n"
"""Between the labels of an image; no cell of a table is left with it."""


@dataclass
class Found:
    """The labelled images of all tables."""

    labels: dict[str, str] = field(default_factory=dict)
    """Image -> label; where it may have several, these, joined by `AND`."""
    parts: dict[str, str] = field(default_factory=dict)
    """Image -> split."""
    origin: dict[str, str] = field(default_factory=dict)
    """Split -> where it is called so."""
    order: tuple[str, ...] = ()
    """Classes in the order of the columns, where each has one."""
    lost: Counter[str] = field(default_factory=Counter)
    """Why rows are left out."""
    multi: bool = False
    """Whether an image may have several labels, or none."""
    marks: set[str] = field(default_factory=set)
    """What stands between several labels in one column."""

    @property
    def names(self) -> set[str]:
        """All labels."""
        every = {*self.labels.values()}
        return {name for each in every for name in each.split(AND) if name} if self.multi else every

    def words(self) -> str:
        """Say how several labels are read, and how many images have none; empty where each has one class."""
        if not self.multi:
            return ""
        none = sum(not label for label in self.labels.values())
        how = f", separated by {' and '.join(map(repr, sorted(self.marks)))}" if self.marks else ""
        return f"An image may have several labels{how}; {none} of {len(self.labels)} have none."


def recognises(path: Path) -> bool:
    """Say whether `path` is such a table, or a folder with one whose images do not lie in a folder for each class."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir() or not _files(path):
        return False
    top = read_tree(path, Leftovers())
    pictures = PicturesByName(top)
    tables = _labelled(path, pictures)
    if not tables:
        return False
    classes = [each for each in top.filled if each.name not in pictures.parts]
    if len(classes) < 2 and not any(len(each.filled) > 1 for each in top.folders):
        return True
    return _agreed(path, top, tables)


def _agreed(path: Path, top: Folder, tables: Sequence[LabelTable]) -> bool:
    """Return False where folders sort the images as the table does; refuse a folder that can be read in two ways."""
    labels = _read(tables, PicturesByName(top)).labels
    folders = [Path(os.path.relpath(file, path)).parent.parts for file in labels]
    for depth in range(max(map(len, folders), default=0)):
        pairs = {
            (each[depth], label) for each, label in zip(folders, labels.values(), strict=True) if len(each) > depth
        }
        if len(pairs) == len({name for name, _ in pairs}) == len({*labels.values()}):
            return False
    raise OverfocusError(
        f"{path} can be read in two ways, by its folders or by {tables[0].path.name}, and they sort the images "
        f"differently; give --data {tables[0].path}, or move it away"
    )


def read(path: Path, channels: int | None = None, multi: bool = False) -> Dataset:
    """Read a table, or those of a folder, and the images below its folder.

    Without a part for tests a fifth of each class becomes one. Rows without an image or a label are left out and
    counted; so are images that no table names. Raises OverfocusError for images with several labels, unless they are
    `multi`: then an image may have any number of them.
    """
    root, left = path.parent if path.is_file() else path, Leftovers()
    pictures = PicturesByName(read_tree(root, left))
    tables = [read_table(path)] if path.is_file() else _labelled(path, pictures, multi)
    found = _read(tables, pictures, multi)
    if not found.labels:
        why = "; ".join(f"{count} rows: {each}" for each, count in found.lost.items())
        raise OverfocusError(f"{path}: no row names an image below {root} ({why}); give file names and labels")
    present = found.names
    named = sorted(present, key=int) if numbered([*present]) else sorted(present)
    classes = found.order if present <= {*found.order} else tuple(named)
    check_names(classes, str(path))
    check_classes(str(path), classes)
    splits = _splits(root, found, classes)
    _check_known(path, splits)
    left.suffixes.subtract(table.suffix.lower() for table in {*_files(root), *(each.path for each in tables)})
    left.suffixes = +left.suffixes
    said = f"Labels are those of {' and '.join(table.path.name for table in tables)}."
    warnings = tuple(filter(None, (said, found.words(), number_warning(classes))))
    unused = (*_unused(found, pictures, tables, path), *left.not_used(root))
    inventory = Inventory(found.origin, 0.0, unused, warnings)
    name = path.resolve().parent.name if path.is_file() else path.resolve().name
    whole = finished(name, splits, classes, channels=channels, inventory=inventory)
    return replace(whole, tables=tuple(table.path for table in tables))


def _splits(root: Path, found: Found, classes: tuple[str, ...]) -> dict[str, Split]:
    number = {name: label for label, name in enumerate(classes)}
    splits = {}
    for part in ("train", "test", "val"):
        files = sorted(file for file in found.labels if found.parts[file] == part)
        if files:
            splits[part] = Split(FileImages(root, tuple(files)), _numbers(found, files, number), classes)
    if "test" not in splits and "val" in splits:
        splits["test"] = splits.pop("val")
        found.origin["test"] = found.origin.pop("val")
    return splits


def _numbers(found: Found, files: Sequence[str], number: Mapping[str, int]) -> Tensor:
    """Return the labels of `files`: [N] int64, or [N, K] bool."""
    if not found.multi:
        return torch.tensor([number[found.labels[file]] for file in files], dtype=torch.int64)
    labels = torch.zeros(len(files), len(number), dtype=torch.bool)
    for row, file in enumerate(files):
        labels[row, [number[name] for name in found.labels[file].split(AND) if name]] = True
    return labels


def _check_known(path: Path, splits: Mapping[str, Split]) -> None:
    """Refuse a class that only other parts than the training images have."""
    for part, split in splits.items():
        unknown = (split.counts() > 0) & (splits["train"].counts() == 0) if "train" in splits else split.counts() < 0
        if unknown.any():
            name = split.classes[int(unknown.int().argmax())]
            raise OverfocusError(
                f"{path}: {part} has the class {name!r}, which train lacks; add images, or leave it out"
            )


def _unused(found: Found, pictures: PicturesByName, tables: Sequence[LabelTable], path: Path) -> Iterable[NotUsed]:
    for why, count in found.lost.items():
        yield NotUsed("", why, count, "rows")
    read = {table.path.name for table in tables}
    for other in _files(path) if path.is_dir() else ():
        if other.name not in read:
            yield NotUsed(other.name, "no column of files that are here, or none of labels", 1, "tables")
    unnamed = Counter(
        os.path.dirname(os.path.relpath(file, pictures.top.path)) for file in pictures.top.below()
        if file not in found.labels
    )  # fmt: skip
    for where, count in sorted(unnamed.items()):
        yield NotUsed(f"{where}/" if where else "", "no table gives them a label", count)


def _files(path: Path) -> list[Path]:
    """Return the tables in a folder, but for what is to be handed in."""
    every = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
    return [each for each in every if "submission" not in each.name.lower() and not each.name.startswith(".")]


def _labelled(path: Path, pictures: PicturesByName, multi: bool = False) -> list[LabelTable]:
    """Return the tables of a folder that give labels to images in it: one, or one for each part."""
    tables = [table for each in _files(path) if _has_labels(table := read_table(each), pictures, multi)]
    parts = [table.part for table in tables]
    if len(tables) > 1 and (None in parts or len({*parts}) < len(parts)):
        names = " and ".join(table.path.name for table in tables[:3])
        raise OverfocusError(f"{path}: {names} all give labels to the images; give one of them as --data")
    return tables


def _has_labels(table: LabelTable, pictures: PicturesByName, multi: bool) -> bool:
    file = file_column(table, pictures)
    return bool(file) and bool((multi_columns if multi else label_columns)(table, file))


def _read(tables: Sequence[LabelTable], pictures: PicturesByName, multi: bool = False) -> Found:
    found = Found(multi=multi)
    for table in tables:
        file = file_column(table, pictures)
        if not file:
            raise OverfocusError(
                f"{table.path}: no column names images below {pictures.top.path}; there are {', '.join(table.columns)}"
            )
        columns = (multi_columns if multi else label_columns)(table, file)
        if not columns and multi:
            raise OverfocusError(
                f"{table.path}: no labels of which an image may have several: neither a column that lists them, "
                f"nor several of 0 and 1; there are {', '.join(table.columns)}; for one class each leave "
                "--labels multi out"
            )
        if not columns:
            raise OverfocusError(
                f"{table.path}: no column of labels can be told from the others, which are {', '.join(table.columns)}; "
                "call it label"
            )
        found.order = tuple(columns) if len(columns) > 1 else found.order
        _read_rows(table, file, columns, part_column(table), pictures, found)
    if not multi:
        check_single(tables[0].path if tables else Path(), {*found.labels.values()})
    return found


def _read_rows(
    table: LabelTable, file: str, columns: Sequence[str], part: str, pictures: PicturesByName, found: Found
) -> None:
    own = table.part
    inside = next((each for each in pictures.top.filled if pictures.parts.get(each.name) == (own or "train")), None)
    nearby = [PicturesByName(inside), pictures] if inside else [pictures]
    mark = separator(table, columns[0]) if found.multi and len(columns) == 1 else ""
    found.marks |= {mark} - {""}
    for row in table.rows:
        label = AND.join(labels_of(row, columns, mark)) if found.multi else label_of(table, row, columns)
        image = next((image for each in nearby if (image := each.find(row[file]))), None)
        if image is None or not (label or found.multi):
            found.lost["they name no image, or more than one" if image is None else "they have no label"] += 1
            continue
        if found.labels.get(image, label) != label:
            raise OverfocusError(
                f"{table.path}: {row[file]} is {found.labels[image]!r} and {label!r}; "
                f"{'give all labels of an image in one row' if found.multi else 'an image has one class here'}"
            )
        if image in found.labels:
            found.lost["they name an image once more"] += 1
            continue
        found.labels[image] = label
        found.parts[image] = _part(table, row, part, own, image, pictures, found)


def _part(
    table: LabelTable,
    row: Mapping[str, str],
    column: str,
    own: str | None,
    image: str,
    pictures: PicturesByName,
    found: Found,
) -> str:
    """Return the split of an image: what its row says, else the name of the table, else the folder that it lies in."""
    top = Path(os.path.relpath(image, pictures.top.path)).parts[0]
    if column:
        split, said = part_of(row[column]), row[column]
        if split is None:
            raise OverfocusError(
                f"{table.path}: {column} {said!r} is no customary name of a part; write train, val or test"
            )
    else:
        split, said = (own, table.path.name) if own else (pictures.parts.get(top, "train"), f"{top}/")
    if not own and not column and len({*pictures.parts.values()}) < 2:
        split, said = "train", "train"
    found.origin.setdefault(split, said)
    return split
