"""COCO: images, and a JSON for each part that tells where which objects are.

`annotations/instances_train*.json` and `instances_val*.json` (or `train.json` and `val.json`), in the folder itself or
in `annotations`; the images lie in `images/PART`, `PART`, `images` or beside the JSON's folder, where PART is train2017
for `instances_train2017.json`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.data.annotations import Corners, Report
from overfocus.downstream.files import Found, below, finite, left_out, objects_in
from overfocus.downstream.objects import ObjectSet

FORM = (
    "COCO has images[id, file_name], categories[id, name] and annotations[image_id, category_id, bbox as x, y, width, "
    "height]"
)
CROWDS = "objects that are crowds"


def coco_parts(root: Path) -> dict[str, Path]:
    """Return the JSON files of the parts `train` and `test` (called val or test); a part without one is missing."""
    every = [file for folder in (root / "annotations", root) for file in sorted(folder.glob("*.json"))]
    files = [file for file in every if file.stem.startswith("instances_")] or every
    words = {"train": ("train",), "test": ("val", "test")}
    found: dict[str, Path] = {}
    for part, names in words.items():
        here = [file for file in files if _name(file).startswith(names)]
        if len(here) > 1:
            raise OverfocusError(
                f"{root}: {here[0].name} and {here[1].name} are both for {part}; leave one JSON for training and one "
                "for validation"
            )
        if here:
            found[part] = here[0]
    return found


def coco(root: Path, channels: int = 3) -> ObjectSet:
    """Read the set in the folder `root`. Crowds are left out and counted; so are boxes without area.

    Raises OverfocusError where an image is missing, a category is unknown, or a JSON has another form.
    """
    files = coco_parts(root)
    for part, name in (("train", "instances_train.json"), ("test", "instances_val.json")):
        if part not in files:
            raise OverfocusError(f"{root}: no JSON for {part}; COCO has annotations/{name}")
    train, test = (_read(files[part]) for part in ("train", "test"))
    _agree(train, test)
    number = {category: label for label, category in enumerate(sorted(train.names))}
    report, crowds = Report(), train.crowds + test.crowds
    parts = [objects_in(root, _found(root, part, number), channels, report) for part in (train, test)]
    classes = tuple(train.names[category] for category in number)
    return ObjectSet(root.resolve().name, *parts, classes=classes, note=left_out(report, {CROWDS: crowds}))


@dataclass(frozen=True)
class Part:
    """What a JSON tells."""

    path: Path
    files: dict[Any, str]
    """Image id -> file name."""
    names: dict[int, str]
    """Category id -> name."""
    marked: dict[Any, list[tuple[int, Corners]]]
    """Image id -> (category id, box)."""
    crowds: int


def _read(path: Path) -> Part:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _part(path, content)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise OverfocusError(f"{path} cannot be read ({type(error).__name__}: {error}); {FORM}") from error


def _part(path: Path, content: dict[str, Any]) -> Part:
    files = {image["id"]: str(image["file_name"]) for image in content["images"]}
    names = {int(each["id"]): str(each["name"]) for each in content["categories"]}
    if len(files) < len(content["images"]) or len(names) < len(content["categories"]):
        raise OverfocusError(f"{path}: an id stands twice among the images or the categories; give each its own")
    marked: dict[Any, list[tuple[int, Corners]]] = defaultdict(list)
    crowds = 0
    for number, each in enumerate(content["annotations"]):
        _check(path, number, each, files, names)
        if each.get("iscrowd"):
            crowds += 1
            continue
        x, y, width, height = finite([float(side) for side in each["bbox"]], f"{path}, annotation {number}")
        marked[each["image_id"]].append((int(each["category_id"]), (x, y, x + width, y + height)))
    return Part(path, files, names, marked, crowds)


def _check(path: Path, number: int, each: dict[str, Any], files: dict[Any, str], names: dict[int, str]) -> None:
    for what, key, known in (("image", "image_id", files), ("category", "category_id", names)):
        if each[key] not in known:
            raise OverfocusError(
                f"{path}: annotation {number} is of the {what} {each[key]!r}, which is not listed; list it, or leave "
                "the annotation out"
            )


def _agree(train: Part, test: Part) -> None:
    """Refuse a category that only the test part has, or that is called otherwise there."""
    for category, name in test.names.items():
        if train.names.get(category) != name:
            there = train.names.get(category, "no category")
            raise OverfocusError(
                f"{test.path}: category {category} is {name!r}, but {there!r} in {train.path.name}; both need the same"
            )


def _found(root: Path, part: Part, number: dict[int, int]) -> Iterator[Found]:
    """Yield the images in the order of their JSON."""
    if not part.files:
        raise OverfocusError(f"{part.path} lists no images; {FORM}")
    folder = _folder(root, part)
    for image, name in part.files.items():
        file = below(folder, name, part.path)
        if not file.is_file():
            raise OverfocusError(f"{part.path}: the image {name!r} is not in {folder}; copy it there, or unlist it")
        marked = part.marked.get(image, [])
        yield Found(file, [box for _, box in marked], [number[category] for category, _ in marked])


def _folder(root: Path, part: Part) -> Path:
    """Return the first folder that has the first image."""
    first, name = next(iter(part.files.values())), _name(part.path)
    folders = [root / "images" / name, root / name, root / "images", root]
    for folder in folders:
        if below(folder, first, part.path).is_file():
            return folder
    tried = ", ".join(folder.relative_to(root).as_posix() for folder in folders[:3])
    raise OverfocusError(f"{part.path}: the image {first!r} is missing; it was looked for in {tried} of {root}")


def _name(path: Path) -> str:
    return path.stem.removeprefix("instances_")
