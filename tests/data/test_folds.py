"""Folds: even over classes, each picture tested on once, pictures that look the same together, drawn from the seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data.folds import fold_numbers, folded, pooled
from overfocus.data.load import load
from overfocus.training.experiment import Experiment
from overfocus.training.folds import same_pictures

COUNTS = (11, 7, 16)


def pictures(folder, counts=COUNTS, side=24):
    """A folder of class folders without test pictures, each picture a coarse pattern of its own."""
    random = np.random.default_rng(0)
    for label, count in enumerate(counts):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(count):
            coarse = random.integers(0, 256, (6, 4, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((side, side + 6)).save(folder / f"class{label}" / f"{number:02}.png")
    return folder


def numbers_of(labels, folds, seed=0, units=None):
    units = torch.arange(len(labels)) if units is None else units
    return fold_numbers(labels, units, folds, Key.seeded(seed), [str(k) for k in range(int(labels.max()) + 1)])


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_classes_are_dealt_out_as_evenly_as_by_scikit_learn(folds):
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    number = numbers_of(labels, folds)
    counts = np.stack([np.bincount(labels[number == fold], minlength=3) for fold in range(folds)])
    theirs = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    expected = np.stack([np.bincount(labels[test], minlength=3) for _, test in theirs])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= np.ptp(expected.sum(axis=1))
    np.testing.assert_array_equal(np.sort(counts, axis=0), np.sort(expected, axis=0))


def test_folds_are_drawn_from_the_key():
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    first, again, other = (numbers_of(labels, 5, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_pictures_of_one_unit_stay_together():
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    units = torch.tensor([0, 0, 0, 3, 4, 5, 6, 7, 8, 0, 6])  # the fourth of class 1 looks like the first ones
    for seed in range(8):
        number = numbers_of(labels, 3, seed, units)
        assert len({*number[units == 0].tolist()}) == len({*number[units == 6].tolist()}) == 1
        assert {*number.tolist()} == {0, 1, 2}


def test_every_picture_is_tested_on_once(tmp_path):
    dataset = load(pictures(tmp_path / "p"))
    names = [split.images.name(row) for split in dataset.splits.values() for row in range(len(split))]
    tested = []
    for seed in range(5, 10):
        of = folded(dataset, 5, seed)
        test, train = ([of.splits[part].images.name(row) for row in range(len(of.splits[part]))]
                       for part in ("test", "train"))  # fmt: skip
        assert sorted(test + train) == sorted(names)
        assert of.splits["test"].images.read(0).shape == (3, 30, 24)
        assert int(of.splits["test"].labels[0]) == int(test[0].split("class")[1][0])
        tested += test
    assert sorted(tested) == sorted(names)
    assert folded(dataset, 5, 0).fingerprint() != folded(dataset, 5, 5).fingerprint(), "another split"
    pixels = torch.stack([folded(dataset, 5, 0).splits["train"].images.read(row) for row in range(27)]).double() / 255
    assert folded(dataset, 5, 0).mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), abs=1e-4), (
        "of its own folds"
    )


def test_near_copies_are_not_trained_and_tested_on(tmp_path):
    """Two files of the same picture, one of them saved again; without the search they are split over folds."""
    folder = pictures(tmp_path / "p")
    for number in range(4):
        Image.open(folder / "class0" / f"{number:02}.png").save(folder / "class0" / f"copy{number}.bmp")
    experiment = Experiment.read({"data": {"name": str(folder), "folds": 3}, "seed": 1}, "test")
    dataset = load(folder)
    assert sorted(len(group) for group in same_pictures(dataset)) == [2, 2, 2, 2]

    def apart(of):
        test = " ".join(of.splits["test"].images.name(row) for row in range(len(of.splits["test"])))
        return [n for n in range(4) if (f"class0/copy{n}.bmp" in test) != (f"class0/{n:02}.png" in test)]

    assert not apart(experiment.dataset())
    assert any(apart(folded(dataset, 3, seed)) for seed in range(3)), "the planted bug: no groups"


def test_test_pictures_of_the_sets_own_are_left_alone():
    """totem has test pictures: only its training pictures are dealt out."""
    of = Experiment.read({"data": {"name": "totem", "folds": 4, "per_class": 3}, "seed": 6}, "test").dataset()
    whole = load("totem")
    assert list(pooled(whole)) == ["train"]
    assert list(of.splits) == ["train", "test"]
    assert len(of.splits["test"]) == len(whole.splits["train"]) // 4
    assert of.splits["train"].counts().tolist() == [3] * 10, "a data size takes from the training folds"
    assert of.inventory.held_out == 0.25


def test_too_many_folds_are_refused(tmp_path):
    dataset = load(pictures(tmp_path / "p", (9, 3)))
    with pytest.raises(OverfocusError, match="folds = 5: class 'class1' has 3"):
        folded(dataset, 5, 0)
    with pytest.raises(OverfocusError, match="folds = 1"):
        Experiment.read({"data": {"name": "totem", "folds": 1}}, "test")
