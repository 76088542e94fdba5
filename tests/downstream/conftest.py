from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos_folder(tmp_path_factory):
    """A folder of small images in three classes."""
    from small import photos

    return photos(tmp_path_factory.mktemp("data") / "photos")


def picture(path: Path, height: int = 20, width: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path.name))
    Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


TRAIN = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "deep/b.png"}, {"id": 3, "file_name": "c.png"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"image_id": 7, "category_id": 18, "bbox": [1, 2, 10, 5], "iscrowd": 0},
        {"image_id": 7, "category_id": 2, "bbox": [20, 10, 50, 4]},
        {"image_id": 7, "category_id": 2, "bbox": [5, 5, 0, 4]},
        {"image_id": 9, "category_id": 2, "bbox": [0.5, 0.25, 3, 3]},
        {"image_id": 9, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
}
"""One box reaches beyond its image, one has no width, one is a crowd; one image has no object."""


def _coco(root: Path, change: Callable[[dict], object] = lambda content: None) -> Path:
    content = json.loads(json.dumps(TRAIN))
    change(content)
    for name in ("a.png", "deep/b.png", "c.png"):
        picture(root / "train2017" / name)
    picture(root / "images" / "val2017" / "v.png")
    val = {
        "images": [{"id": 1, "file_name": "v.png"}],
        "categories": TRAIN["categories"],
        "annotations": [{"image_id": 1, "category_id": 18, "bbox": [0, 0, 8, 8]}],
    }
    (root / "annotations").mkdir()
    for name, each in (("instances_train2017", content), ("instances_val2017", val), ("captions_train2017", {})):
        (root / "annotations" / f"{name}.json").write_text(json.dumps(each))
    return root


@pytest.fixture
def coco_folder(tmp_path):
    """Write a small COCO whose training JSON is changed by a function."""
    return lambda *change: _coco(tmp_path / "coco", *change)


XML = """<annotation><filename>../../other.jpg</filename>
<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>5.0</ymax></bndbox></object>
<object><name>person</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object>
<object><name>bird</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>7</xmax><ymax>12</ymax></bndbox></object>
<object><name>bird</name><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>
</part><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>12</ymax></bndbox></object>
</annotation>"""
"""A dog, a difficult person, a bird whose corners are the wrong way round, and one a single pixel wide with a part."""


@pytest.fixture
def voc_folder(tmp_path):
    """Write a small VOC with this text as the annotation of its first image."""

    def write(text: str = XML) -> Path:
        root = tmp_path / "voc"
        for name in ("000001", "000002", "000003"):
            picture(root / "JPEGImages" / f"{name}.jpg")
            (root / "Annotations").mkdir(exist_ok=True)
            (root / "Annotations" / f"{name}.xml").write_text(XML)
        (root / "Annotations" / "000001.xml").write_text(text)
        (root / "ImageSets" / "Main").mkdir(parents=True)
        (root / "ImageSets" / "Main" / "train.txt").write_text("000001  1\n000002 -1\n\n")
        (root / "ImageSets" / "Main" / "val.txt").write_text("000003\n")
        return root

    return write
