import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.data import few, hold_out, load, names


def rows(split, part):
    """Tell images by their pixels."""
    known = {split.images.read(row).numpy().tobytes(): row for row in range(len(split))}
    return [known[part.images.read(row).numpy().tobytes()] for row in range(len(part))]


def test_few_are_balanced_nested_and_seeded(random_split):
    split = random_split(53)
    parts = {n: rows(split, few(split, 0, per_class=n)) for n in (1, 4, 9)}
    assert few(split, 0, per_class=4).counts().tolist() == [4] * 5
    assert set(parts[1]) < set(parts[4]) < set(parts[9])
    assert parts[4] == sorted(parts[4]) == rows(split, few(split, 0, per_class=4))
    assert parts[4] != rows(split, few(split, 1, per_class=4))


def test_fractions_are_nested_too(random_split):
    split = random_split(53)
    small, large = (rows(split, few(split, 0, fraction=share)) for share in (0.2, 0.5))
    assert set(small) < set(large)
    assert few(split, 0, fraction=0.2).counts().tolist() == [2] * 5
    assert len(few(split, 0, fraction=1.0)) == 53
    assert few(split, 0, fraction=0.001).counts().tolist() == [1] * 5


def test_too_many_says_how_many_there_are(random_split):
    with pytest.raises(OverfocusError, match="'d', has 4 training images; give 1 to 4"):
        few(random_split(23), 0, per_class=5)
    with pytest.raises(OverfocusError, match="give one"):
        few(random_split(), 0, per_class=1, fraction=0.5)
    for fraction in (0.0, 1.5):
        with pytest.raises(OverfocusError, match="fraction="):
            few(random_split(), 0, fraction=fraction)


def test_a_holdout_is_disjoint_and_balanced(random_split):
    split = random_split(50)
    rest, held = hold_out(split, 0.3, 0)
    assert held.counts().tolist() == [3] * 5
    assert sorted(rows(split, rest) + rows(split, held)) == list(range(50))


def test_a_class_of_one_stays_in_training(random_split):
    split = random_split(6, classes=5)
    rest, held = hold_out(split, 0.2, 0)
    assert rest.counts().min() == 1
    assert held.counts().tolist() == [1, 0, 0, 0, 0]


def test_val_does_not_change_with_the_training_images():
    sets = [load("totem", val=0.1, per_class=n, seed=5) for n in (3, 7)]
    first, second = (each.splits["val"].images.pixels for each in sets)
    assert torch.equal(first, second)
    assert list(sets[0].splits)[:1] == ["train"]
    assert len(sets[0].splits["train"]) == 30
    assert len(first) == 300
    train = {image.numpy().tobytes() for image in load("totem", val=0.1, seed=5).splits["train"].images.pixels}
    assert not any(image.numpy().tobytes() in train for image in first)


def test_load_brings_all_to_a_size():
    dataset = load("totem", size=(20, 28))
    split = dataset.splits["digit-only"]
    assert split.images.pixels.shape == (1000, 3, 20, 28)
    assert split.masks["digit"].shape == (1000, 20, 28)
    assert all(len(box) <= 1 for box in split.boxes)


def test_names_have_cards():
    known = dict(names())
    assert {
        "totem",
        "fashion_mnist",
        "cifar10",
        "cifar100",
        "stl10",
        "svhn",
        "flowers102",
        "oxford_pet",
        "food101",
        "imagenet",
    } < set(known)
    assert all(known.values())
