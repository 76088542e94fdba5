import pytest
import torch

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data import Dataset, Split, TensorImages, fit, fit_boxes, fit_mask, fitted


def test_a_subset_takes_all_that_belongs_to_it_along(random_split):
    split = random_split(6)
    masks = torch.arange(6)[:, None, None].expand(6, 9, 14) % 2 == 0
    full = Split(
        split.images, split.labels, split.classes, [torch.tensor([[n, 0, 9, 9]]) for n in range(6)], {"part": masks}
    )
    part = full.subset([4, 1]).subset([1])
    assert part.labels.tolist() == [1]
    assert part.boxes[0].tolist() == [[1, 0, 9, 9]]
    assert torch.equal(part.masks["part"][0], masks[1])
    assert torch.equal(part.images.read(0), split.images.read(1))


def test_labels_must_match_images(random_split):
    with pytest.raises(OverfocusError, match="23 images and 22 labels"):
        Split(random_split().images, torch.zeros(22, dtype=torch.int64), ("a",))


def test_an_unknown_split_names_the_nearest(random_split):
    split = random_split()
    dataset = Dataset("x", {"train": split, "hard": split}, split.classes, (0.5,) * 3, (0.5,) * 3)
    assert dataset.splits["test"] is split
    with pytest.raises(UnknownName, match="did you mean 'hard'"):
        dataset.splits["hart"]


def test_the_fingerprint_sees_a_pixel_and_a_label(random_split):
    split = random_split()
    made = [split, random_split()]
    pixels = split.images.pixels.clone()
    pixels[3, 1, 2, 2] ^= 1
    made.append(Split(TensorImages(pixels), split.labels, split.classes))
    made.append(Split(split.images, split.labels.flip(0), split.classes))
    prints = [Dataset("x", {"train": each}, each.classes, (0.5,) * 3, (0.5,) * 3).fingerprint() for each in made]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize("stored", [(9, 14), (14, 9), (5, 5), (30, 31)])
@pytest.mark.parametrize("size", [(6, 7), (12, 5), (8, 8)])
def test_fit_covers_then_cuts_the_centre(stored, size):
    image = torch.full((3, *stored), 77, dtype=torch.uint8)
    assert fit(image, size).shape == (3, *size)
    assert (fit(image, size) == 77).all()


def test_boxes_follow_their_image():
    image = torch.zeros(1, 40, 60, dtype=torch.uint8)
    box = torch.tensor([[20, 10, 40, 30]])
    image[:, 10:30, 20:40] = 255
    small = fit(image, (20, 20))
    x0, y0, x1, y1 = fit_boxes(box, (40, 60), (20, 20))[0].tolist()
    assert (small[0, y0:y1, x0:x1] > 128).all()
    assert (small > 128).sum() == (x1 - x0) * (y1 - y0)
    assert torch.equal(fit_mask(image[0] > 0, (20, 20)), small[0] > 128)


def test_a_box_outside_the_cut_is_left_out():
    assert len(fit_boxes(torch.tensor([[0, 0, 3, 40]]), (40, 80), (20, 20))) == 0


def test_fitted_split(random_split):
    split = random_split(4)
    boxes = [torch.tensor([[0, 0, 14, 9]])] * 4
    masks = {"all": torch.ones(4, 9, 14, dtype=torch.bool)}
    small = fitted(Split(split.images, split.labels, split.classes, boxes, masks), (5, 6))
    assert small.images.read(2).shape == (3, 5, 6)
    assert small.boxes[0].tolist() == [[0, 0, 6, 5]]
    assert small.masks["all"][1].shape == (5, 6)
