"""The pictures in a folder and below it, and the files that are none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from overfocus.data.inventory import NotUsed
from overfocus.data.suffixes import described, is_picture


@dataclass(frozen=True)
class Folder:
    """A folder with what lies in it; hidden files and folders apart."""

    path: str
    pictures: tuple[str, ...] = ()
    """Paths of those that lie in it, not below."""
    folders: tuple[Folder, ...] = ()
    """In the order of their names."""

    @property
    def name(self) -> str:
        """Its own name."""
        return os.path.basename(self.path)

    def below(self) -> list[str]:
        """Return the paths of all pictures in it and below, sorted."""
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        yield from self.pictures
        for folder in self.folders:
            yield from folder._walk()

    def __len__(self) -> int:
        return len(self.pictures) + sum(map(len, self.folders))

    @property
    def filled(self) -> tuple[Folder, ...]:
        """The folders in it that have pictures in or below them."""
        return tuple(folder for folder in self.folders if len(folder))


@dataclass
class Leftovers:
    """What lies in a folder and is no picture, counted."""

    hidden: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)
    """Links to folders that lead back to where they lie, or nowhere."""

    def not_used(self, root: str | Path, known: int = 0) -> list[NotUsed]:
        """Return it as entries of an inventory."""
        kinds = ", ".join(f"{described(suffix)} {count:,}" for suffix, count in self.suffixes.most_common(6))
        return [
            *([NotUsed("", f"no pictures: {kinds}", self.suffixes.total(), "other files")] if self.suffixes else []),
            *([NotUsed("", "their names begin with a dot", self.hidden, "hidden files")] if self.hidden else []),
            *(NotUsed(os.path.relpath(link, root), "leads back or nowhere", 1, "links") for link in self.links),
        ]


def read_tree(path: str | Path, left: Leftovers, above: tuple[str, ...] = ()) -> Folder:
    """Return the folder at `path` with all below it; what is no picture is counted in `left`.

    Links to folders are followed, but not to one that the link lies in. A link to a picture that is gone counts as a
    picture: reading it is an error, or it is left out with the bad images.
    """
    path = str(path)
    pictures, folders = [], []
    above = (*above, os.path.realpath(path))
    for entry in sorted(os.scandir(path), key=lambda each: each.name):
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            left.hidden += 1
        elif _is_folder(entry):
            if entry.is_symlink() and _leads_back(entry.path, above):
                left.links.append(entry.path)
            else:
                folders.append(read_tree(entry.path, left, above))
        elif is_picture(entry.name):
            pictures.append(entry.path)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            left.links.append(entry.path)
        else:
            left.suffixes[PurePath(entry.name).suffix.lower()] += 1
    return Folder(path, tuple(pictures), tuple(folders))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _leads_back(link: str, above: tuple[str, ...]) -> bool:
    """Say whether a link to a folder leads to one of the folders that it lies in, by name or by link."""
    target = os.path.realpath(link)
    return any(each == target or each.startswith(target.rstrip(os.sep) + os.sep) for each in above)
