"""Which files are pictures: all that Pillow can open, whatever the case of their suffix."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image

NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""What Pillow opens and cannot decode by itself."""
NEEDS = {".heic": "heif", ".heif": "heif", ".hif": "heif", ".avif": "heif"}
"""Suffix -> what `pip install 'overfocus[...]'` adds to read it, where the installed Pillow cannot."""


@cache
def suffixes() -> tuple[str, ...]:
    """Return the suffixes, in lower case with their dot, that the installed Pillow reads; HEIF's too where pillow-heif
    is installed.
    """
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    known = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, kind in known if kind in Image.OPEN and kind not in NO_PICTURES))


def is_picture(name: str) -> bool:
    """Say whether a file called so is read as a picture."""
    return os.path.splitext(name)[1].lower() in suffixes()


def unread(folder: Path, read: Container[str]) -> str:
    """Return how many files below `folder` are not `read` (their paths), by suffix, with one named; "" for none.

    Hidden files and folders do not count.
    """
    files = [file for file in _files(str(folder)) if file not in read]
    if not files:
        return ""
    counts = Counter(os.path.splitext(file)[1].lower() or "no suffix" for file in files)
    kinds = ", ".join(f"{count} {_kind(suffix)}" for suffix, count in counts.most_common())
    return f"Files that are not read: {kinds} (such as {os.path.relpath(files[0], folder)})."


def _kind(suffix: str) -> str:
    needed = NEEDS.get(suffix) if suffix not in suffixes() else None
    return f"{suffix} (needs overfocus[{needed}])" if needed else suffix


def _files(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif not entry.is_dir():
            yield entry.path
