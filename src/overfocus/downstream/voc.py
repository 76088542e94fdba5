"""Pascal VOC: `JPEGImages`, an XML for each image in `Annotations`, and lists of images in `ImageSets/Main`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.readers.voc import read_voc
from overfocus.data.suffixes import suffixes
from overfocus.downstream.files import Row, below, object_set
from overfocus.downstream.objects import ObjectSet

USUAL = (".jpg", ".jpeg", ".png")
"""Suffixes that are tried first."""
LISTS = ("train.txt", "val.txt")


def is_voc(root: Path) -> bool:
    """Say whether the folder is laid out so."""
    return (root / "Annotations").is_dir() and (root / "ImageSets" / "Main").is_dir()


def voc(root: Path, channels: int = 3, preprocess: Preprocess = DEFAULT) -> ObjectSet:
    """Read the set in the folder `root`: trained on `train.txt`, measured on `val.txt`.

    Objects marked as difficult are left out and counted; so are boxes without area. Classes are in the order of their
    names. Raises OverfocusError where a file is missing or is not VOC.
    """
    lists = [root / "ImageSets" / "Main" / name for name in LISTS]
    for path in lists:
        if not path.is_file():
            raise OverfocusError(f"{root}: no {path.relative_to(root)}; VOC lists its images there, one a line")
    parts = [[_row(root, name, path) for name in _names(path)] for path in lists]
    classes = sorted({str(box.label) for rows in parts for _, boxes in rows for box in boxes if not box.hard})
    return object_set(
        root, parts, dict(zip(classes, classes, strict=True)), (channels, preprocess), "objects marked as difficult"
    )


def _names(path: Path) -> Iterator[str]:
    """Yield the first word of each line; lists of a single class have a second one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise OverfocusError(f"{path} is not text ({error}); give the name of an image a line") from error
    yield from (line.split()[0] for line in lines if line.strip())


def _row(root: Path, name: str, listed_in: Path) -> Row:
    """Return the image called `name` and its boxes."""
    page = below(root / "Annotations", f"{name}.xml", listed_in)
    if not page.is_file():
        raise OverfocusError(f"{page} is missing, but {listed_in.name} lists {name}; copy it there, or unlist it")
    boxes = read_voc(page)
    if any(not (box.label or box.hard) for box in boxes):
        raise OverfocusError(f"{page}: an object lacks its name; give every object one")
    for ending in sorted(suffixes(), key=lambda ending: ending not in USUAL):
        for spelled in (ending, ending.upper(), ending.title()):
            image = below(root / "JPEGImages", name + spelled, listed_in)
            if image.is_file():
                return image, boxes
    path = root / "JPEGImages" / name
    raise OverfocusError(f"{path}.jpg is missing, but {listed_in.name} lists it; copy or unlist it")
