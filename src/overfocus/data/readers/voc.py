"""Pascal VOC's XML of an image: object[name, difficult, bndbox[xmin, ymin, xmax, ymax]].

Its pixels count from 1, and both ends of a box lie inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxAnnotation, finite


def read_voc(path: Path) -> list[BoxAnnotation]:
    """Return the boxes of an XML; OverfocusError where it is none, has a document type, or an object has no box."""
    try:
        page = ElementTree.parse(path, ElementTree.XMLParser(target=_NoDoctype())).getroot()
        return [_box(each, path) for each in page.iterfind("object")]
    except (ElementTree.ParseError, ValueError) as error:
        raise OverfocusError(f"{path} is not VOC XML ({error}); correct it, or leave it out") from error


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds a tree, and refuses a document type before anything that it defines is expanded."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse it."""
        raise ValueError(f"a document type {name!r}, which could define entities")


def _box(element: ElementTree.Element, path: Path) -> BoxAnnotation:
    name, box = element.findtext("name", "").strip(), element.find("bndbox")
    if box is None:
        raise ValueError("an object lacks its bndbox")
    x0, y0, x1, y1 = (float(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    hard = element.findtext("difficult", "0").strip() == "1"
    return BoxAnnotation(finite((x0 - 1, y0 - 1, x1, y1), str(path)), name, hard)


def named_boxes(folder: Path) -> Iterator[tuple[str, list[BoxAnnotation]]]:
    """Yield the names of the XML files in `folder`, which are those of their images, and their boxes."""
    for path in sorted(folder.glob("*.xml")):
        yield path.stem, read_voc(path)
