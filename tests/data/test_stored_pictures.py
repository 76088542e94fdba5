"""What lies in a file and what comes out of it: turns, depths, transparency, suffixes."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.data import load
from overfocus.data.depth import AlmostConstant
from overfocus.data.image_files import EncodedImages, FileImages
from overfocus.data.orientation import TURNS
from overfocus.data.resize import fitted
from overfocus.data.split import Split

UPRIGHT = np.zeros((30, 50, 3), dtype=np.uint8)
UPRIGHT[:8, :20] = (250, 40, 10)
UPRIGHT[20:, 40:] = (10, 240, 90)
UNDO = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def read(path, channels=3, **how):
    return FileImages(path.parent, (str(path),), channels, Preprocess(**how)).read(0)


def store_turned(path: Path, tag: int, pixels=UPRIGHT, **options) -> np.ndarray:
    """Write `pixels` so that a viewer shows them upright; return them as they are stored."""
    stored, exif = Image.fromarray(pixels), Image.Exif()
    if tag != 1:
        stored = stored.transpose(TURNS[UNDO[tag]])
        exif[0x0112] = tag
    stored.save(path, exif=exif, **options)
    return np.array(stored)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_a_picture_is_read_as_a_viewer_shows_it(tmp_path, suffix, tag):
    path, options = tmp_path / f"a.{suffix}", {"webp": {"lossless": True}}
    stored = store_turned(path, tag, **options.get(suffix, {} if suffix in ("png", "tif") else {"quality": 95}))
    for how, expected in (("viewer", UPRIGHT), ("stored", stored)):
        images = FileImages(tmp_path, (str(path),), 3, Preprocess(orientation=how))
        found = images.read(0).permute(1, 2, 0).numpy()
        assert images.size(0) == found.shape[:2] == expected.shape[:2]
        assert np.abs(found.astype(int) - expected).mean() < 6


def test_tables_of_encoded_pictures_are_turned_too(tmp_path):
    store_turned(tmp_path / "a.png", 6)
    images = EncodedImages([(tmp_path / "a.png").read_bytes()], "table")
    assert images.size(0) == (30, 50)
    assert np.array_equal(images.read(0).permute(1, 2, 0).numpy(), UPRIGHT)


def test_a_large_turned_jpeg_is_still_decoded_in_part(tmp_path):
    large = np.kron(UPRIGHT, np.ones((16, 16, 1), dtype=np.uint8))
    store_turned(tmp_path / "a.jpg", 6, large, quality=95)
    images = FileImages(tmp_path, (str(tmp_path / "a.jpg"),))
    assert images.read_for(0, (30, 50)).shape == (3, 60, 100)
    split = fitted(Split(images, torch.tensor([0]), ("a", "b")), (30, 50))
    assert np.abs(split.images.read(0).permute(1, 2, 0).numpy().astype(int) - UPRIGHT).mean() < 6


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"MM"])
def test_broken_exif_turns_nothing_and_breaks_nothing(tmp_path, exif):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg").shape == (3, 30, 50)


def ramp(top, dtype):
    """Return 30 x 50 values from 0 to `top`."""
    return np.linspace(0, top, 1500).reshape(30, 50).astype(dtype)


def levels(top, low, high):
    """Return what becomes of `ramp(top)` between `low` and `high`, by the rule in plain words."""
    return ((ramp(top, np.float64) - low) / (high - low) * 255).clip(0, 255)


def test_full_range_16_bit_stays_as_it_is(tmp_path):
    values = ramp(65535, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png", 1)[0].numpy(), values >> 8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_16_are_warned_of_and_mapped_as_told(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(ramp(4095, np.uint16)).save(path)
    with pytest.warns(AlmostConstant, match="--intensity 0,4095"):
        dark = read(path, 1)
    assert len(dark.unique()) == 16
    told = read(path, 1, intensity=(0, 4095))[0].numpy()
    assert np.abs(told - levels(4095, 0, 4095)).max() <= 1
    found = read(path, 1, intensity="percentile")[0].numpy()
    assert np.abs(found - levels(4095, 0.005 * 4095, 0.995 * 4095)).max() <= 1.1


def test_a_set_of_12_bits_is_warned_of_once_it_is_read_and_measured_as_told(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(ramp(4095, np.uint16)).save(tmp_path / name / f"{number}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dark, told = load(tmp_path), load(tmp_path, preprocess=Preprocess(intensity=(0, 4095)))
        assert told.splits["train"].images.read(0).float().std() > 60
    with pytest.warns(AlmostConstant):
        dark.splits["train"].images.read(0)
    assert dark.mean[0] == pytest.approx(7.5 / 255, abs=0.001)
    assert told.mean[0] == pytest.approx(0.5, abs=0.01)
    assert "8 of 8 images have more than 8 bits, which intensity=0,4095 maps to 8" in told.note


@pytest.mark.parametrize("channels", [3, 4])
def test_12_bits_in_16_bit_colours(tmp_path, channels):
    grey = ramp(4095, np.uint16)
    colours = np.dstack([grey // 4, grey // 2, grey, np.full_like(grey, 65535)][:channels])  # blue, green, red, alpha
    cv2.imwrite(str(tmp_path / "a.png"), colours)
    with pytest.warns(AlmostConstant):
        read(tmp_path / "a.png")
    red, green, blue = read(tmp_path / "a.png", intensity=(0, 4095)).numpy()
    for found, part in ((red, 1), (green, 2), (blue, 4)):
        assert np.abs(found - levels(4095, 0, 4095) / part).max() <= 1
    cv2.imwrite(str(tmp_path / "a.tif"), colours)
    with pytest.raises(OverfocusError, match="PNG"):
        read(tmp_path / "a.tif", intensity="percentile")


def test_floats_from_0_to_1_are_black_to_white(tmp_path):
    Image.fromarray(ramp(1, np.float32)).save(tmp_path / "a.tif")
    assert np.abs(read(tmp_path / "a.tif", 1)[0].numpy() - levels(1, 0, 1)).max() <= 0.51


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (ramp(3000, np.float32) - 1000, (-1000, 2000)),
        (ramp(3000, np.int32) - 1000, (-1000, 2000)),
        (ramp(10**6, np.int32), (0, 10**6)),
    ],
)
def test_what_range_cannot_mean_is_refused_and_mapped_as_told(tmp_path, values, told):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(OverfocusError, match="--intensity"):
        read(tmp_path / "a.tif", 1)
    found = read(tmp_path / "a.tif", 1, intensity=told)[0].numpy()
    assert np.abs(found - levels(1, 0, 1)).max() <= 1


def test_pixels_that_are_not_finite_are_refused(tmp_path):
    values = ramp(1, np.float32)
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    for intensity in ("range", "percentile"):
        with pytest.raises(OverfocusError, match="not finite"):
            read(tmp_path / "a.tif", intensity=intensity)


def test_8_bits_are_not_touched(tmp_path):
    dark = (UPRIGHT // 16).astype(np.uint8)
    Image.fromarray(dark).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png", intensity="percentile").permute(1, 2, 0).numpy()
    assert np.array_equal(found, dark)


def drawn(mode):
    """Return a red square on what is transparent, whose hidden colour is green."""
    picture = Image.new("RGBA", (10, 8), (0, 255, 0, 0))
    picture.paste((255, 0, 0, 255), (2, 3, 6, 7))
    picture.putpixel((0, 0), (255, 0, 0, 51))
    if mode == "P":
        flat = Image.new("P", (10, 8), 1)
        flat.putpalette([255, 0, 0, 0, 255, 0])
        flat.paste(0, (2, 3, 6, 7))
        flat.info["transparency"] = 1
        return flat
    return picture.convert(mode)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("RGBA", "webp"), ("P", "png"), ("P", "gif")])
def test_what_is_transparent_shows_the_background(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    drawn(mode).save(path, **({"lossless": True} if suffix == "webp" else {}))
    for background, how in (((128, 128, 128), {}), ((255, 250, 7), {"background": (255, 250, 7)})):
        found = read(path, **how)
        assert found[:, 7, 9].tolist() == list(background)
        assert found[:, 4, 4].tolist() == [255, 0, 0]
        if mode == "RGBA":  # a fifth of red over the background
            mixed = [0.2 * over + 0.8 * under for over, under in zip((255, 0, 0), background)]
            assert (found[:, 0, 0].float() - torch.tensor(mixed)).abs().max() <= 1


def test_grey_with_alpha(tmp_path):
    picture = Image.new("LA", (6, 5), (200, 0))
    picture.putpixel((1, 1), (9, 255))
    picture.save(tmp_path / "a.png")
    found = read(tmp_path / "a.png", 1, background=(255, 255, 255))[0]
    assert found[1, 1] == 9
    assert (found == 255).sum() == 29


def test_opaque_alpha_changes_nothing(tmp_path):
    picture = Image.fromarray(UPRIGHT)
    picture.putalpha(255)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png").permute(1, 2, 0).numpy(), UPRIGHT)


SUFFIXES = (".jfif", ".JPG", ".PNG", ".avif", ".bmp", ".TIFF", ".jp2", ".heic")


def write_suffixed(root, suffixes):
    for name, tone in (("cat", 250), ("dog", 20)):
        (root / name).mkdir()
        for suffix in suffixes:
            kind = {".jfif": "JPEG", ".heic": "HEIF", ".jp2": "JPEG2000"}.get(suffix)
            Image.new("RGB", (16, 12), (tone, 60, 60)).save(root / name / f"a{suffix}", kind)


def test_every_suffix_that_pillow_reads_is_read(tmp_path):
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    write_suffixed(tmp_path, SUFFIXES)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "dog" / "moving.mp4").write_bytes(b"no picture")
    (tmp_path / "dog" / ".hidden.txt").write_text("not counted")
    dataset = load(tmp_path)
    read_files = {split.images.name(row) for split in dataset.splits.values() for row in range(len(split))}
    assert {Path(name).suffix for name in read_files} == set(SUFFIXES)
    assert len(read_files) == 2 * len(SUFFIXES)
    for split in dataset.splits.values():
        for row in range(len(split)):
            red = float(split.images.read(row)[0].float().mean())
            assert abs(red - (250, 20)[int(split.labels[row])]) < 12
    assert ".txt 1" in dataset.note
    assert ".mp4 1" in dataset.note
    assert ".hidden" not in dataset.note


def test_without_pillow_heif_the_note_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("overfocus.data.suffixes.suffixes", lambda: (".png", ".jfif"))
    write_suffixed(tmp_path, (".PNG", ".jfif", ".bmp"))
    (tmp_path / "cat" / "telephone.HEIC").write_bytes(b"what a telephone wrote")
    note = load(tmp_path).note
    assert ".heic (needs overfocus[heif]) 1" in note
    assert ".bmp 2" in note


@pytest.mark.parametrize("suffix", ["jfif", "PNG"])
def test_a_voc_picture_of_any_suffix_is_found(tmp_path, suffix):
    from overfocus.downstream.voc import voc

    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    box = "<bndbox><xmin>3</xmin><ymin>1</ymin><xmax>5</xmax><ymax>9</ymax></bndbox>"
    for part in ("train", "val"):
        store_turned(tmp_path / "JPEGImages" / "a.png", 6)
        (tmp_path / "JPEGImages" / "a.png").rename(tmp_path / "JPEGImages" / f"{part}.{suffix}")
        page = f"<annotation><object><name>cat</name>{box}</object></annotation>"
        (tmp_path / "Annotations" / f"{part}.xml").write_text(page)
        (tmp_path / "ImageSets" / "Main" / f"{part}.txt").write_text(part)
    found = voc(tmp_path).train
    assert found.images.size(0) == (30, 50)
    assert found.boxes[0].tolist() == [[2, 0, 5, 9]]
    stored = voc(tmp_path, 3, Preprocess(orientation="stored")).train
    assert stored.images.size(0) == (50, 30)
