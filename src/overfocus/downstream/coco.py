"""COCO: a JSON of boxes and classes for each part, and its images.

`annotations/instances_train*.json` and `instances_val*.json` (or `train.json` and `val.json`), in the folder itself or
in `annotations`; the images lie in `images/PART`, `PART`, `images` or beside the JSON's folder, where PART is train2017
for `instances_train2017.json`.
"""

from __future__ import annotations

from pathlib import Path

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.readers.coco import FORM, Coco, read_coco
from overfocus.downstream.files import Row, below, object_set
from overfocus.downstream.objects import ObjectSet


def coco_parts(root: Path) -> dict[str, Path]:
    """Return the JSON files of the parts `train` and `test` (called val or test); a part without one is missing."""
    every = [file for folder in (root / "annotations", root) for file in sorted(folder.glob("*.json"))]
    files = [file for file in every if file.stem.startswith("instances_")] or every
    words = {"train": ("train",), "test": ("val", "test")}
    parts: dict[str, Path] = {}
    for part, names in words.items():
        here = [file for file in files if _name(file).startswith(names)]
        if len(here) > 1:
            raise OverfocusError(
                f"{root}: {here[0].name} and {here[1].name} are both for {part}; leave one JSON for training and one "
                "for validation"
            )
        if here:
            parts[part] = here[0]
    return parts


def coco(root: Path, channels: int = 3, preprocess: Preprocess = DEFAULT) -> ObjectSet:
    """Read the set in the folder `root`. Crowds are left out and counted; so are boxes without area.

    Raises OverfocusError where an image is missing, a category is unknown, or a JSON has another form.
    """
    files = coco_parts(root)
    for part, name in (("train", "instances_train.json"), ("test", "instances_val.json")):
        if part not in files:
            raise OverfocusError(f"{root}: no JSON for {part}; COCO has annotations/{name}")
    train, test = (read_coco(files[part]) for part in ("train", "test"))
    _check_categories(train, test)
    classes = {category: train.categories[category] for category in sorted(train.categories)}
    return object_set(
        root, [_rows(root, part) for part in (train, test)], classes, (channels, preprocess), "objects that are crowds"
    )


def _check_categories(train: Coco, test: Coco) -> None:
    """Refuse a category that only the test part has, or that has another name there."""
    for category, name in test.categories.items():
        if train.categories.get(category) != name:
            other = train.categories.get(category, "no category")
            raise OverfocusError(
                f"{test.path}: category {category} is {name!r}, but {other!r} in {train.path.name}; both need the same"
            )


def _rows(root: Path, part: Coco) -> list[Row]:
    """Return the images in the order of their JSON."""
    if not part.images:
        raise OverfocusError(f"{part.path} lists no images; {FORM}")
    folder, rows = _folder(root, part), []
    for image, name in part.images.items():
        file = below(folder, name, part.path)
        if not file.is_file():
            raise OverfocusError(f"{part.path}: the image {name!r} is not in {folder}; copy it there, or unlist it")
        rows.append((file, part.boxes.get(image, [])))
    return rows


def _folder(root: Path, part: Coco) -> Path:
    """Return the first folder that has the first image."""
    first, name = next(iter(part.images.values())), _name(part.path)
    folders = [root / "images" / name, root / name, root / "images", root]
    for folder in folders:
        if below(folder, first, part.path).is_file():
            return folder
    tried = ", ".join(folder.relative_to(root).as_posix() for folder in folders[:3])
    raise OverfocusError(f"{part.path}: the image {first!r} is missing; it was looked for in {tried} of {root}")


def _name(path: Path) -> str:
    return path.stem.removeprefix("instances_")
