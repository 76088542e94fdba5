"""The layouts of sets of images on disk. The folder `readers` is the registry: a file that recognises paths is one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from overfocus.core.errors import OverfocusError
from overfocus.data import readers as folder
from overfocus.data.split import Dataset

ARCHIVES = (".tar", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".7z")


class Reader(Protocol):
    """What the module of a layout has."""

    RANK: int
    """Layouts are tried in this order, so what only one layout has comes before what any folder has."""
    CARD: str
    """What it reads, in a few words."""

    def recognises(self, path: Path) -> bool:
        """Say whether the file or folder at `path` is laid out so."""
        ...

    def read(self, path: Path, channels: int | None = None) -> Dataset:
        """Read the set at `path`: 1 channel (grey) or 3 (RGB), by default as the layout or its images have it."""
        ...


@cache
def layouts() -> tuple[Reader, ...]:
    """Return the layouts in the order in which they are tried."""
    modules: list[Any] = [import_module(f"{folder.__name__}.{each.name}") for each in iter_modules(folder.__path__)]
    return tuple(sorted((each for each in modules if hasattr(each, "recognises")), key=lambda each: each.RANK))


def from_path(path: Path, channels: int | None = None) -> Dataset:
    """Read the file or folder at `path`, whose layout is recognised by its files."""
    for layout in layouts():
        if layout.recognises(path):
            return layout.read(path, channels)
    archive = path.suffix.lower() in ARCHIVES
    what = "unpack the archive and name the folder" if archive else "name a folder, a CSV or a parquet file"
    raise OverfocusError(f"data: {path} is a file that is not read as a set of images; {what}")
