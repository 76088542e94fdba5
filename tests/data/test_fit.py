"""Crop, pad and squash: images, boxes and masks land on the same pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.preprocess import Preprocess
from overfocus.data import Split, TensorImages, fit, fit_boxes, fit_mask, fitted, load

BOX = torch.tensor([[20, 10, 40, 30]])
STORED = (40, 60)


def white_box():
    image = torch.zeros(3, *STORED, dtype=torch.uint8)
    image[:, 10:30, 20:40] = 255
    return image


# By hand: the picture is 60 wide and 40 high, its box from x 20 to 40 and y 10 to 30.
@pytest.mark.parametrize(
    ("how", "box"),
    [
        (Preprocess((20, 20)), [5, 5, 15, 15]),
        (Preprocess((60, 60), "pad"), [20, 20, 40, 40]),
        (Preprocess((30, 30), "pad"), [10, 10, 20, 20]),
        (Preprocess((40, 30), "squash"), [10, 10, 20, 30]),
        (Preprocess((20, 20), crop_share=0.5), [0, 0, 20, 20]),
        (Preprocess((20, 40), "squash", crop_share=0.5), [7, 0, 34, 20]),
        (Preprocess((50, 70), "pad", crop_share=1.0), [23, 13, 47, 37]),
    ],
)
def test_box_mask_and_image_meet(how, box):
    (found,) = fit_boxes(BOX, STORED, how).tolist()
    assert [abs(a - b) <= 1 for a, b in zip(found, box)] == [True] * 4
    image, mask = fit(white_box(), how), fit_mask(white_box()[0] > 0, how)
    assert image.shape[-2:] == mask.shape == how.size
    x0, y0, x1, y1 = found
    inside = torch.zeros(how.size, dtype=torch.bool)
    inside[y0:y1, x0:x1] = True
    assert not (mask & ~inside).any()
    assert mask.sum() >= 0.8 * inside.sum()
    assert ((image[0] > 200) & ~inside).sum() == 0
    assert (image[0][mask] > 100).float().mean() > 0.95


def test_padding_is_background_and_the_rest_is_the_whole_picture():
    image = torch.full((3, 10, 40), 200, dtype=torch.uint8)
    padded = fit(image, Preprocess((40, 40), "pad", background=(1, 2, 3)))
    assert (padded[:, 15:25] == 200).all()
    for part in (padded[:, :15], padded[:, 25:]):
        assert (part == torch.tensor([1, 2, 3])[:, None, None]).all()
    grey = fit(image[:1], Preprocess((40, 40), "pad", background=(255, 0, 0)))
    assert grey[0, 0, 0] == 76  # ITU-R 601's luma of red


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_interpolation_is_the_one_that_is_told(interpolation):
    image = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (3, 31, 47), dtype=np.uint8))
    found = fit(image, Preprocess((13, 17), "squash", interpolation=interpolation)).permute(1, 2, 0).numpy()
    peer = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((17, 13), Image.Resampling[interpolation.upper()])
    assert np.abs(found.astype(int) - np.asarray(peer)).max() <= 1


def test_the_old_name_of_the_interpolation():
    image = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (3, 12, 9), dtype=np.uint8))
    with pytest.warns(DeprecationWarning, match="interpolation"):
        found = fit(image, (5, 7), mode="nearest-exact")
    assert torch.equal(found, fit(image, Preprocess((5, 7), interpolation="nearest")))


def test_a_split_in_memory_and_one_in_files_agree(tmp_path):
    images = torch.stack([white_box(), white_box().flip(-1)])
    masks = images[:, 0] > 0
    boxes = [BOX, torch.tensor([[20, 10, 40, 30]])]
    how = Preprocess((24, 24), "pad")
    small = fitted(Split(TensorImages(images), torch.tensor([0, 1]), ("a", "b"), boxes, {"object": masks}), how)
    assert torch.equal(small.images.read(0), fit(white_box(), how))
    assert small.boxes[0].tolist() == fit_boxes(BOX, STORED, how).tolist()
    assert torch.equal(small.masks["object"][0], fit_mask(masks[0], how))


def test_what_is_lost_is_said(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            wide = 100 if number < 2 else 42
            Image.new("RGB", (wide, 40)).save(tmp_path / name / f"{number}.png")
    notes = {fit: load(tmp_path, size=16, preprocess=Preprocess(fit=fit)).note for fit in ("crop", "pad", "squash")}
    assert all("4 of 10" in note for note in notes.values())
    assert "--fit pad" in notes["crop"]
    assert "of 10" not in load(tmp_path).note


def test_the_fingerprint_of_the_usual_way_is_that_of_before(tmp_path, write_classes):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    split = load(tmp_path, size=5).splits["train"]
    assert split.images.stamp(0).endswith(b"(5, 5)")
    other = load(tmp_path, size=5, preprocess=Preprocess(fit="pad")).splits["train"]
    assert other.images.stamp(0) != split.images.stamp(0)
