"""Parquet as the Hugging Face hub lays it out: train-*.parquet and test-*.parquet with a column of encoded images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from overfocus.core.classes import number_warning
from overfocus.core.errors import OverfocusError
from overfocus.data.finalize import check_classes, finished
from overfocus.data.image_files import EncodedImages
from overfocus.data.inventory import Inventory, NotUsed
from overfocus.data.label_lists import as_lists, element, flags, how_many_have_none
from overfocus.data.parts import part_of
from overfocus.data.split import Dataset, Split

IMAGE_COLUMNS = ("image", "img", "pixel_values", "picture")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
NO_PART = "no customary name of a part"


RANK = 40
CARD = "parquet"


def recognises(path: Path) -> bool:
    """Say whether `path` is a parquet file, or a folder with some in it or in its `data/`."""
    return bool(_files(path))


def read(path: Path, channels: int | None = None, multi: bool = False) -> Dataset:
    """Read one file, or the files of a folder (or of its `data/`) by the part that their names begin with.

    `multi`: the labels of an image are a list.
    """
    try:
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise OverfocusError(f"{path}: parquet needs pyarrow; pip install 'overfocus[parquet]'") from error
    tables = {}
    for part, files in _by_part(path).items():
        try:
            tables[part] = pq.read_table([str(file) for file in files])
        except (OSError, ValueError) as error:
            raise OverfocusError(
                f"{files[0]}: not a parquet file that can be read ({error}); fetch it again"
            ) from error
    written = (next(iter(tables.values())).schema.metadata or {}).get(b"huggingface")
    names = class_names(json.loads(written)["info"]["features"]) if written else None
    columns = {part: (*pick_columns(str(path), table.column_names), table) for part, table in tables.items()}
    rows = {part: (table[image], table[label].to_pylist()) for part, (image, label, table) in columns.items()}
    name, unused = path.resolve().name.removesuffix(".parquet"), [] if path.is_file() else _of_no_part(path)
    return from_columns(name, rows, names, channels, [NotUsed(file, NO_PART, 1, "files") for file in unused], multi)


def from_columns(
    name: str, rows: dict[str, tuple[Any, Sequence[Any]]], names: tuple[str, ...] | None, channels: int | None,
    not_used: Sequence[NotUsed] = (), multi: bool = False,
) -> Dataset:  # fmt: skip
    """Make a set of columns: split -> (encoded images, labels); labels are positions in `names`, or any values, and
    lists of these where an image may have several (`multi`).
    """
    lists = {part: as_lists(f"{name}/{part}", labels, multi) for part, (_, labels) in rows.items()}
    values = sorted({value for part in lists.values() for each in part for value in each})
    values = values if names is None else range(len(names))
    classes = names or tuple(str(value) for value in values)
    check_classes(name, classes)
    number = {value: label for label, value in enumerate(values)}
    splits = {}
    for part, (encoded, _) in rows.items():
        _check_labels(name, part, lists[part], number)
        known = flags(lists[part], number) if multi else torch.tensor([number[label] for (label,) in lists[part]])
        splits[part] = Split(EncodedImages(encoded, f"{name}/{part}"), known, classes)
    said = (number_warning(classes) if names is None else "", how_many_have_none(lists) if multi else "")
    inventory = Inventory({}, 0.0, tuple(not_used), tuple(filter(None, said)))
    return finished(name, splits, classes, channels=channels, inventory=inventory)


def _check_labels(name: str, part: str, lists: Sequence[Sequence[Any]], number: dict[Any, int]) -> None:
    unknown = [label for each in lists for label in each if label not in number]
    if unknown:
        raise OverfocusError(
            f"{name}: {len(unknown)} {part} images have no label that is known, such as {unknown[0]!r}; "
            f"labels go from 0 to {len(number) - 1}, so leave these images out"
        )


def class_names(features: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes where `features`, the hub's types of the columns, have any."""
    for column in LABEL_COLUMNS:
        feature = element(features.get(column))
        names = feature.get("names") if isinstance(feature, dict) else getattr(feature, "names", None)
        if names:
            return tuple(names)
    return None


def pick_columns(where: str, columns: Sequence[str]) -> tuple[str, str]:
    """Return the columns of images and of labels."""
    found = [[name for name in known if name in columns] for known in (IMAGE_COLUMNS, LABEL_COLUMNS)]
    for what, known, names in zip(("images", "labels"), (IMAGE_COLUMNS, LABEL_COLUMNS), found, strict=True):
        if not names:
            raise OverfocusError(
                f"{where}: no column of {what}; there are {', '.join(columns)}, expected one of {', '.join(known)}"
            )
    return found[0][0], found[1][0]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))


def _by_part(path: Path) -> dict[str, list[Path]]:
    """Return split -> its files. Without a test part, validation is the test."""
    if path.is_file():
        return {"train": [path]}
    parts: dict[str, list[Path]] = {}
    for file in _files(path):
        if part := _part(file):
            parts.setdefault(part, []).append(file)
    return ordered(str(path), parts)


def _part(file: Path) -> str | None:
    return part_of(file.name.removesuffix(".parquet").split("-")[0])


def _of_no_part(path: Path) -> list[str]:
    return [file.name for file in _files(path) if not _part(file)]


def ordered(where: str, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the parts with train first and a test where there is any to evaluate on."""
    if "train" not in parts:
        raise OverfocusError(
            f"{where}: no training part; expected train-*.parquet beside test-*.parquet or validation-*.parquet"
        )
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    return {part: parts[part] for part in ("train", "test", "val") if part in parts}
