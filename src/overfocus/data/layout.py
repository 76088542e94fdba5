"""Telling by its files how a set is laid out."""

from __future__ import annotations

from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.data.readers.cub import cub
from overfocus.data.readers.folder import from_folder
from overfocus.data.readers.hub import from_hub
from overfocus.data.readers.parquet import from_parquet
from overfocus.data.readers.tiny_imagenet import tiny_imagenet
from overfocus.data.split import Dataset

ARCHIVES = (".tar", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".7z")


def from_path(path: Path, channels: int | None = None) -> Dataset:
    """Read what lies at `path`, whose layout is recognised by its files."""
    if path.is_file():
        return _from_file(path, channels)
    if (path / "wnids.txt").is_file():
        return tiny_imagenet(path)
    if (path / "image_class_labels.txt").is_file():
        return cub(path)
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        return from_hub(str(path), False, channels)
    if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
        return from_parquet(path, channels)
    return from_folder(path, channels)


def _from_file(path: Path, channels: int | None) -> Dataset:
    if path.suffix == ".parquet":
        return from_parquet(path, channels)
    what = (
        "unpack the archive and name the folder"
        if path.suffix.lower() in ARCHIVES
        else "name a folder or a parquet file"
    )
    raise OverfocusError(f"data: {path} is a file that is not read as a set of images; {what}")
