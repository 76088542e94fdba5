"""Picture files that a person names one by one, by folder or by pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePath

from overfocus.core.errors import OverfocusError
from overfocus.data.suffixes import described, is_picture
from overfocus.data.tree import Leftovers, read_tree


@dataclass(frozen=True)
class FoundPictures:
    """Picture files, each once, and in words what was found and is not read."""

    files: list[str]
    not_read: list[str]


def pictures_in(paths: Sequence[str]) -> FoundPictures:
    """Return the pictures that `paths` name: files, folders with all below them, and patterns such as `**/*.jpg`.

    A file is read if its suffix is that of a picture, or if it has none. Raises OverfocusError for a path or a pattern
    that finds nothing, and where there is no picture at all.
    """
    files: dict[str, None] = {}
    not_read: list[str] = []
    for path in (each for given in paths for each in _expanded(given)):
        if os.path.isdir(path):
            left = Leftovers()
            files |= dict.fromkeys(read_tree(path, left).below())
            not_read += [f"{path}: {each}" for each in left.not_used(path)]
        elif is_picture(path) or not PurePath(path).suffix:
            files[path] = None
        else:
            not_read.append(f"{path}: no picture ({described(PurePath(path).suffix.lower())})")
    if not files:
        raise OverfocusError(f"no picture in {', '.join(paths[:3])}; " + "; ".join(not_read or ["give picture files"]))
    return FoundPictures(list(files), not_read)


def _expanded(path: str) -> list[str]:
    if os.path.lexists(path):
        return [path]
    found = sorted(glob(path, recursive=True)) if has_magic(path) else []
    if not found:
        kind = "no file matches the pattern" if has_magic(path) else "no such file or folder"
        raise OverfocusError(
            f"{path}: {kind}; give picture files, folders or patterns such as '{Path('photos', '*.jpg')}'"
        )
    return found
