"""Samples: the same images every time, balanced, nested, in any batch."""

import numpy as np
import pytest
import torch
from PIL import Image

import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.sample import fitting, from_loader, from_pixels, from_split


def rows_of(sample, rows=None):
    return torch.cat([portion.rows for portion in sample.batches(rows)])


def pixels_of(sample, rows=None):
    return torch.cat([portion.pixels for portion in sample.batches(rows)])


def test_a_sample_is_balanced_nested_and_can_be_gone_through_again():
    split = of.load("totem").splits["all"]
    large, small = from_split(split, limit=200, seed=3), from_split(split, limit=50, seed=3)
    assert torch.bincount(small.labels).tolist() == [5] * 10
    assert set(small.names) < set(large.names)
    assert torch.equal(pixels_of(large), pixels_of(large))
    assert set(from_split(split, limit=50, seed=4).names) != set(small.names)
    assert small.note == "50 of 1,000 images"


def test_some_rows_are_those_rows_with_their_labels_boxes_and_masks():
    sample = from_split(of.load("totem").splits["all"], limit=60, batch=7)
    rows = torch.tensor([3, 11, 40, 59])
    assert torch.equal(rows_of(sample, rows), rows)
    assert torch.equal(pixels_of(sample, rows), pixels_of(sample)[rows])
    labels = torch.cat([portion.labels for portion in sample.batches(rows)])
    assert torch.equal(labels, sample.labels[rows])
    inside = sample.mask("disc", rows)
    box = sample.boxes[11][0].tolist()
    assert inside[1, box[1] : box[3], box[0] : box[2]].any()
    assert inside[1].sum() == inside[1, box[1] : box[3], box[0] : box[2]].sum()


def test_the_same_pixels_whatever_the_batch():
    split = of.load("totem").splits["all"]
    assert torch.equal(
        pixels_of(from_split(split, limit=30, batch=4)), pixels_of(from_split(split, limit=30, batch=30))
    )


def test_names_end():
    sample = from_split(of.load("totem").splits["all"], limit=5)
    assert len(list(sample.names)) == 5
    with pytest.raises(IndexError):
        sample.names[5]


def test_files_that_cannot_be_read_are_left_out_and_said(tmp_path):
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                Image.fromarray(np.full((9, 9, 3), 20 * number, np.uint8)).save(
                    tmp_path / part / name / f"{number}.png"
                )
    (tmp_path / "test" / "a" / "1.png").write_bytes(b"no picture")
    sample = from_split(of.load(tmp_path).splits["test"], on_bad_image="skip")
    assert len(sample) == 5
    assert "1 files cannot be read" in sample.note
    with pytest.raises(OverfocusError, match=r"1\.png"):
        from_split(of.load(tmp_path).splits["test"])


def test_a_loader_is_read_back_to_pixels():
    pixels, labels = torch.rand(10, 3, 5, 7), torch.arange(10) % 3
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    shape = (1, 3, 1, 1)
    normal = (pixels - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(normal, labels), batch_size=4)
    sample = from_loader(loader, ("a", "b", "c"), mean, std, limit=9)
    assert len(sample) == 9
    assert torch.allclose(pixels_of(sample), pixels[:9], atol=1e-6)
    with pytest.raises(OverfocusError, match="give the mean and std"):
        from_loader([(normal * 3, labels)], ("a", "b", "c"), (0, 0, 0), (1, 1, 1))
    with pytest.raises(OverfocusError, match="yields no images"):
        from_loader([], ("a",), mean, std)


def test_labels_are_brought_to_the_order_of_the_models_classes():
    sample = from_pixels(torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 1, 0]), ("cat", "dog"))
    fitted = fitting(sample, ("bird", "dog", "cat"), "model")
    assert fitted.labels.tolist() == [2, 1, 1, 2]
    assert next(fitted.batches(None)).labels.tolist() == [2, 1, 1, 2]
    assert "taken in order" in fitting(sample, ("Katze", "Hund"), "model").note
    assert fitting(sample, ("dog", "cat"), "model").labels.tolist() == [1, 0, 0, 1]
    with pytest.raises(OverfocusError, match="'cat' among them"):  # one name in common: no guess by position
        fitting(sample, ("dog", "wolf"), "model")
    with pytest.raises(OverfocusError, match="'dog' among them"):
        fitting(sample, ("bird", "cat", "cow"), "model")
