"""Masks in files: what is the object, in every mode and suffix, and that alpha never is."""

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.data.mask_files import read_mask

SHAPE = np.zeros((14, 20), dtype=bool)
SHAPE[3:9, 4:12] = True
WHITE = Image.fromarray(SHAPE.astype(np.uint8) * 255)
SHARE = SHAPE.mean()


def made(kind: str) -> Image.Image:
    if kind == "opaque RGBA":
        picture = WHITE.convert("RGB")
        picture.putalpha(255)
    elif kind == "white, shape in alpha":
        picture = Image.new("RGB", WHITE.size, "white")
        picture.putalpha(WHITE)
    elif kind == "red on clear":
        picture = Image.composite(Image.new("RGB", WHITE.size, "red"), Image.new("RGB", WHITE.size), WHITE)
        picture.putalpha(WHITE)
    elif kind == "LA":
        picture = WHITE.copy()
        picture.putalpha(255)
    elif kind == "P":
        picture = Image.fromarray(SHAPE.astype(np.uint8))
        picture.putpalette([255, 255, 255, 0, 0, 0])  # the object is black in its palette
    elif kind == "P, clear":
        picture = Image.fromarray(SHAPE.astype(np.uint8) + 1)
        picture.putpalette([0, 0, 0, 255, 255, 255, 255, 0, 0])
        picture.info["transparency"] = 1
    elif kind == "16 bit":
        picture = Image.fromarray(SHAPE.astype(np.uint16))
    else:
        picture = WHITE.convert(kind)
    return picture


@pytest.mark.parametrize(
    "kind",
    ["1", "L", "RGB", "LA", "P", "P, clear", "16 bit", "opaque RGBA", "white, shape in alpha", "red on clear"],
)
def test_the_object_is_what_is_drawn(tmp_path, kind):
    made(kind).save(tmp_path / "a.png")
    mask = read_mask(str(tmp_path / "a.png"))
    assert torch.equal(mask, torch.from_numpy(SHAPE))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "jpg", "webp"])
def test_every_format(tmp_path, suffix):
    WHITE.save(tmp_path / f"a.{suffix}")
    wrong = read_mask(str(tmp_path / f"a.{suffix}")) ^ torch.from_numpy(SHAPE)
    assert wrong.float().mean() < (0.02 if suffix in ("jpg", "webp") else 1e-9)


def test_what_cannot_be_told_is_refused(tmp_path):
    picture = Image.new("RGB", WHITE.size)
    picture.putalpha(WHITE)
    picture.save(tmp_path / "black.png")
    Image.fromarray(SHAPE.astype(np.uint8) * 7).save(tmp_path / "grey.jpg", quality=100)
    for name in ("black.png", "grey.jpg"):
        with pytest.raises(OverfocusError, match=name):
            read_mask(str(tmp_path / name))


def test_an_empty_mask_is_empty(tmp_path):
    for number, picture in enumerate((Image.new("L", (5, 4)), Image.new("RGBA", (5, 4), (255, 255, 255, 0)))):
        picture.save(tmp_path / f"{number}.png")
        assert not read_mask(str(tmp_path / f"{number}.png")).any()


@pytest.mark.parametrize("suffix", [".PNG", ".Bmp", ".TIFF"])
def test_masks_are_found_whatever_their_suffix(tmp_path, write_classes, suffix):
    write_classes(tmp_path / "set", {"cat": 5, "dog": 5}, height=14, width=20)
    for path in sorted((tmp_path / "set").rglob("*.jpg")):
        mask = tmp_path / "masks" / path.parent.name / (path.stem + suffix)
        mask.parent.mkdir(parents=True, exist_ok=True)
        made("opaque RGBA" if suffix == ".PNG" else "L").save(mask)
    split = load(tmp_path / "set", boxes=tmp_path / "masks").splits["train"]
    assert [float(split.masks["object"][row].float().mean()) for row in range(len(split))] == pytest.approx(
        [SHARE] * len(split)
    )


def test_two_masks_of_one_image_are_refused(tmp_path, write_classes):
    write_classes(tmp_path / "set", {"cat": 3, "dog": 3}, height=14, width=20)
    for suffix in ("png", "bmp"):
        (tmp_path / "masks" / "cat").mkdir(parents=True, exist_ok=True)
        WHITE.save(tmp_path / "masks" / "cat" / f"1.{suffix}")
    with pytest.raises(OverfocusError, match="masks of one image"):
        load(tmp_path / "set", boxes=tmp_path / "masks")
