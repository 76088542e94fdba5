"""Pascal VOC: `JPEGImages`, an XML for each image in `Annotations`, and lists of images in `ImageSets/Main`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from overfocus.core.errors import OverfocusError
from overfocus.data.annotations import Corners, Report, voc_corners, voc_page
from overfocus.downstream.files import PHOTOGRAPHS, Found, below, finite, left_out, objects_in
from overfocus.downstream.objects import ObjectSet

LISTS = {"train": "train.txt", "test": "val.txt"}
DIFFICULT = "objects marked as difficult"


def is_voc(root: Path) -> bool:
    """Tell whether the folder is laid out so."""
    return (root / "Annotations").is_dir() and (root / "ImageSets" / "Main").is_dir()


def voc(root: Path, channels: int = 3) -> ObjectSet:
    """Read the set in the folder `root`: trained on `train.txt`, measured on `val.txt`.

    Objects marked as difficult are left out and counted; so are boxes without area. Classes are in the order of their
    names. Raises OverfocusError where a file is missing or is not VOC.
    """
    parts = {part: [_read(root, name, list_) for name in _names(list_)] for part, list_ in _lists(root).items()}
    classes = tuple(sorted({name for pages in parts.values() for page in pages for name, _ in page.marked}))
    number = {name: label for label, name in enumerate(classes)}
    report = Report()
    difficult = sum(page.difficult for pages in parts.values() for page in pages)
    objects = [objects_in(root, (page.found(number) for page in parts[part]), channels, report) for part in LISTS]
    note = left_out(report, {DIFFICULT: difficult})
    return ObjectSet(root.resolve().name, *objects, classes=classes, note=note)


@dataclass(frozen=True)
class Page:
    """What an XML tells of its image."""

    image: Path
    marked: tuple[tuple[str, Corners], ...]
    """Class and box."""
    difficult: int

    def found(self, number: dict[str, int]) -> Found:
        """Return the same with numbers for the classes."""
        return Found(self.image, [box for _, box in self.marked], [number[name] for name, _ in self.marked])


def _lists(root: Path) -> dict[str, Path]:
    lists = {part: root / "ImageSets" / "Main" / name for part, name in LISTS.items()}
    for path in lists.values():
        if not path.is_file():
            raise OverfocusError(f"{root}: no {path.relative_to(root)}; VOC lists its images there, one a line")
    return lists


def _names(path: Path) -> Iterator[str]:
    """Yield the first word of each line; lists of a single class have a second one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise OverfocusError(f"{path} is not text ({error}); give the name of an image a line") from error
    yield from (line.split()[0] for line in lines if line.strip())


def _read(root: Path, name: str, list_: Path) -> Page:
    path = below(root / "Annotations", f"{name}.xml", list_)
    try:
        every = [_object(each, path) for each in voc_page(path).iterfind("object")]
    except FileNotFoundError:
        raise OverfocusError(f"{path} is missing, but {list_.name} lists {name}; copy it there, or unlist it") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise OverfocusError(f"{path} is not VOC XML ({error}); mend it, or take {name} from {list_.name}") from error
    easy = tuple(each for each in every if each is not None)
    return Page(_image(root, name, list_), easy, len(every) - len(easy))


def _object(element: ElementTree.Element, path: Path) -> tuple[str, Corners] | None:
    """Return class and box; None for a difficult one."""
    if element.findtext("difficult", "0").strip() == "1":
        return None
    name, box = element.findtext("name", "").strip(), element.find("bndbox")
    if not name or box is None:
        raise ValueError("an object lacks its name or its bndbox")
    return name, finite(voc_corners(box), str(path))


def _image(root: Path, name: str, list_: Path) -> Path:
    for ending in PHOTOGRAPHS:
        file = below(root / "JPEGImages", name + ending, list_)
        if file.is_file():
            return file
    raise OverfocusError(f"{root / 'JPEGImages' / name}.jpg is missing, but {list_.name} lists it; copy or unlist it")
