"""Folders of images: one folder for each class, or train/val[/test] with such folders inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.finalize import PARTS, check_classes, finished
from overfocus.data.image_files import FileImages
from overfocus.data.split import Dataset, Split
from overfocus.data.suffixes import is_picture, suffixes, unread

EXPECTED = "expected one folder of images for each class, or train/ and val/ or test/ with such folders inside"

Listed = dict[str, list[str]]
"""Class -> its files."""


RANK = 90
CARD = "a folder of images (class per folder, or train/val[/test] inside)"


def recognises(path: Path) -> bool:
    """Say whether `path` is a folder."""
    return path.is_dir()


def read(path: Path, channels: int | None = None) -> Dataset:
    """Read a folder of class folders, or of train/val[/test]; without a test part a fifth of each class becomes one."""
    parts = _parts(path)
    listed = {name: _listed(folder) for name, folder in parts.items()}
    if not listed.get("train"):
        raise OverfocusError(f"{path}: no images found; {EXPECTED}; files may be {' '.join(suffixes())}")
    classes = tuple(sorted(listed["train"]))
    _check(path, listed, classes)
    splits = {name: _split(path, files, classes) for name, files in listed.items()}
    missing = sorted(set(classes) - set(listed["test"])) if "test" in listed else []
    note = f"Classes without test images: {', '.join(missing)}." if missing else ""
    read_files = {file for files in listed.values() for each in files.values() for file in each}
    return finished(path.resolve().name, splits, classes, note, channels=channels).noting(unread(path, read_files))


def _parts(path: Path) -> dict[str, Path]:
    """Return split -> folder. Where there is no `test`, `val` serves as one."""
    found = {PARTS[folder.name.lower()]: folder for folder in _folders(path) if folder.name.lower() in PARTS}
    if "train" not in found:
        return {"train": path}
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    return {name: found[name] for name in ("train", "test", "val") if name in found}


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _listed(path: Path) -> Listed:
    """Return the files of each class folder, an empty one too."""
    return {folder.name: sorted(_files(str(folder))) for folder in _folders(path)}


def _files(folder: str) -> Iterator[str]:
    """Yield the images in `folder` and below, hidden ones apart."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry.path)
        elif is_picture(entry.name):
            yield entry.path


def _check(path: Path, listed: dict[str, Listed], classes: tuple[str, ...]) -> None:
    """Refuse what cannot be trained on."""
    empty = [name for name in classes if not listed["train"][name]]
    if len(empty) == len(classes):
        raise OverfocusError(
            f"{path}: no images found in {len(classes)} folders; {EXPECTED}; files may be {' '.join(suffixes())}"
        )
    if empty:
        raise OverfocusError(f"{path}: class folder {empty[0]!r} has no images; fill it, or remove the folder")
    check_classes(str(path), classes)
    for part in ("test", "val"):
        unknown = sorted(set(listed.get(part, {})) - set(classes))
        if unknown:
            raise OverfocusError(
                f"{path}: {part} has the class {unknown[0]!r}, which train lacks; train has {', '.join(classes[:10])}"
                f"{', ...' if len(classes) > 10 else ''}"
            )


def _split(root: Path, listed: Listed, classes: tuple[str, ...]) -> Split:
    number = {name: label for label, name in enumerate(classes)}
    pairs = [(file, number[name]) for name in sorted(listed) for file in listed[name]]
    labels = torch.tensor([label for _, label in pairs], dtype=torch.int64)
    return Split(FileImages(root, tuple(file for file, _ in pairs)), labels, classes)
