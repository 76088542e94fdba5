"""An epoch in which every class is drawn equally often: exact counts, each image as rarely as possible."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.data import Augment, Split, Stream
from overfocus.data.class_balanced import class_balanced
from overfocus.data.image_files import FileImages

LABELS = torch.tensor([2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 2, 0, 0])
"""Nine images of class 0, one of class 1, three of class 2."""


def slowly(labels, classes, key):
    """Return the draws as the docstring says them, class by class: for each class the rows in the order of drawing."""
    images, more = labels.tolist(), key.fold_in("one more").order(classes).tolist()
    shuffled, drawn = key.fold_in("within").order(len(images)).tolist(), []
    for name in range(classes):
        deck = [row for row in shuffled if images[row] == name]
        quota = len(images) // classes + (name in more[: len(images) % classes])
        drawn += [(deck[n % len(deck)], n // len(deck)) for n in range(quota)]
    return [drawn[place] for place in key.fold_in("order").order(len(images)).tolist()]


@pytest.mark.parametrize("labels", [LABELS, torch.arange(7) % 5, torch.tensor([1, 0, 1, 1]), torch.arange(2)])
@pytest.mark.parametrize("seed", range(3))
def test_it_draws_what_its_words_say(labels, seed):
    classes, key = int(labels.max()) + 1, Key.seeded(seed)
    rows, turns = class_balanced(labels, classes, key)
    assert list(zip(rows.tolist(), turns.tolist(), strict=True)) == slowly(labels, classes, key)


def test_classes_are_even_and_images_of_a_class_as_even_as_can_be():
    larger = set()
    for seed in range(12):
        rows, turns = class_balanced(LABELS, 3, Key.seeded(seed))
        of_class = torch.bincount(LABELS[rows], minlength=3)
        assert sorted(of_class.tolist()) == [4, 4, 5], "13 draws of three classes"
        larger.add(int(of_class.argmax()))
        times = torch.bincount(rows, minlength=13)
        for name in range(3):
            assert int(times[name == LABELS].max() - times[name == LABELS].min()) <= 1
        for row in range(13):
            assert sorted(turns[rows == row].tolist()) == list(range(int(times[row])))
    assert larger == {0, 1, 2}, "the one draw that is left over goes to a class drawn anew"


def test_an_empty_class_is_an_error():
    with pytest.raises(OverfocusError, match="class 3 has no training image"):
        class_balanced(LABELS, 4, Key.seeded(0))


@pytest.fixture
def files(tmp_path):
    generator = torch.Generator().manual_seed(7)
    for row in range(len(LABELS)):
        pixels = torch.randint(0, 256, (9, 14, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(Path(tmp_path, f"{row}.png"))
    paths = tuple(str(tmp_path / f"{row}.png") for row in range(len(LABELS)))
    return Split(FileImages(tmp_path, paths), LABELS, ("a", "b", "c"))


def stream(split, **settings):
    given = {"batch": 4, "mean": (0.4,) * 3, "std": (0.25,) * 3, "seed": 3, "size": (8, 10), "balanced": True}
    return Stream(split, **given | settings)


def same(first, second):
    return all(all(torch.equal(x, y) for x, y in zip(a, b, strict=True)) for a, b in zip(first, second, strict=True))


CROP = Augment(flip=True, resized_crop=True)


@pytest.mark.parametrize("augment", [Augment(flip=True, crop=3), CROP])
def test_a_seed_and_an_epoch_fix_the_batches_whatever_reads_them(files, augment):
    alone = stream(files, augment=augment)
    assert same(alone.epoch(2), stream(files, augment=augment, memory_budget_bytes=0, workers=1).epoch(2))
    assert same(list(alone.epoch(2))[1:], alone.epoch(2, start=1))
    assert not same(alone.epoch(2), alone.epoch(3))
    assert not same(alone.epoch(2), stream(files, augment=augment, seed=4).epoch(2))
    assert len(alone) == len(stream(files, augment=augment, balanced=False))


def test_an_image_that_comes_again_is_changed_in_another_way(files):
    batches = list(stream(files, augment=CROP).epoch())
    images, rows = torch.cat([each.images for each in batches]), torch.cat([each.rows for each in batches])
    again = images[rows == 3]
    assert len(again) >= 3, "the one image of its class"
    assert not any(torch.equal(again[0], other) or torch.equal(again[0], other.flip(2)) for other in again[1:])


@pytest.mark.parametrize("budget", [0, 2**32])
def test_two_processes_divide_the_draws_of_one(files, budget):
    settings = {"augment": CROP if budget == 0 else Augment(flip=True), "memory_budget_bytes": budget, "workers": 0}
    whole, ranks = list(stream(files, **settings).epoch(1)), []
    for rank in range(2):
        made = stream(files, **settings, rank=rank, world=2)
        ranks.append([
            type(each)(*(value[made.mine(len(each.rows))] for value in each)) if made.shared else each
            for each in made.epoch(1)
        ])  # fmt: skip
    for step, both in enumerate(zip(*ranks, strict=True)):
        for field in range(3):
            assert torch.equal(torch.cat([each[field] for each in both]), whole[step][field])


def test_evaluation_is_not_balanced(files):
    rows = torch.cat([each.rows for each in stream(files, train=False).epoch()])
    assert torch.equal(rows, torch.arange(13))
