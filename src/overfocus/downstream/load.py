"""One call from what a user types to a set of objects."""

from __future__ import annotations

from pathlib import Path

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.load import CARDS, load
from overfocus.downstream.coco import coco, coco_parts
from overfocus.downstream.objects import ObjectSet, objects_of
from overfocus.downstream.scenes import totem_scenes
from overfocus.downstream.voc import is_voc, voc

SCENES = "totem-scenes"


def load_objects(data: str, root: str | None = None, channels: int = 3, preprocess: Preprocess = DEFAULT) -> ObjectSet:
    """Load `totem-scenes`, a folder of COCO or VOC, or any set of classified images that has boxes.

    root: where a path that is not there lies, as for `overfocus.load`. channels: 1 grey or 3 RGB, for files.
    preprocess: how files are turned, brought to 8 bits and laid on a background; a detector takes any size.
    """
    if data == SCENES:
        if channels != 3:
            raise OverfocusError(f"{SCENES} are in colour, and the run was trained on images of {channels} channel")
        return totem_scenes()
    path = Path(data) if root is None or Path(data).exists() else Path(root) / data
    if path.is_dir() and is_voc(path):
        return voc(path, channels, preprocess)
    if path.is_dir() and coco_parts(path):
        return coco(path, channels, preprocess)
    try:
        return objects_of(load(data, root=root, channels=channels, preprocess=preprocess))
    except UnknownName:
        raise UnknownName("set of objects", data, (SCENES, *CARDS)) from None
