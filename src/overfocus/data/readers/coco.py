"""COCO's JSON of objects: images[id, file_name], categories[id, name], annotations[image_id, category_id, bbox].

A `bbox` is x, y, width, height in pixels. See https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.data.boxes import BoxAnnotation, finite

FORM = (
    "COCO has images[id, file_name], categories[id, name] and annotations[image_id, category_id, bbox as x, y, width, "
    "height]"
)


@dataclass(frozen=True)
class Coco:
    """The content of a JSON."""

    path: Path
    images: dict[Any, str]
    """Image id -> file name."""
    categories: dict[Any, str]
    """Category id -> name."""
    boxes: dict[Any, list[BoxAnnotation]]
    """Image id -> its boxes, whose labels are category ids."""


def read_coco(path: Path, listed: bool = True) -> Coco:
    """Read the JSON at `path`; `listed`: every annotation must be of an image and a category that are listed.

    Raises OverfocusError where it has another form, an id stands twice, or a box is not finite.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = {each["id"]: str(each["file_name"]) for each in content["images"]}
        categories = {int(each["id"]): str(each["name"]) for each in content.get("categories", ())}
        if len(images) < len(content["images"]) or len(categories) < len(content.get("categories", ())):
            raise OverfocusError(f"{path}: an id stands twice among the images or the categories; give each its own")
        boxes: dict[Any, list[BoxAnnotation]] = defaultdict(list)
        for number, each in enumerate(content["annotations"]):
            if listed:
                _check_listed(f"{path}: annotation {number}", "image", each["image_id"], images)
                _check_listed(f"{path}: annotation {number}", "category", each["category_id"], categories)
            x, y, width, height = finite([float(side) for side in each["bbox"]], f"{path}, annotation {number}")
            corners = (x, y, x + width, y + height)
            boxes[each["image_id"]].append(
                BoxAnnotation(corners, each.get("category_id", ""), bool(each.get("iscrowd")))
            )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise OverfocusError(f"{path} cannot be read ({type(error).__name__}: {error}); {FORM}") from error
    return Coco(path, images, categories, boxes)


def _check_listed(where: str, what: str, number: Any, known: Collection[Any]) -> None:
    if number not in known:
        raise OverfocusError(
            f"{where} is of the {what} {number!r}, which is not listed; list it, or leave the annotation out"
        )


def named_boxes(path: Path) -> Iterator[tuple[str, list[BoxAnnotation]]]:
    """Yield files as the JSON at `path` names them, and their boxes; those of an unlisted image under its id."""
    content = read_coco(path, listed=False)
    for image, boxes in content.boxes.items():
        yield content.images.get(image, f"image id {image}"), boxes
