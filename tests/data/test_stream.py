import random
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.core.preprocess import Preprocess
from overfocus.data import Augment, Changes, Split, Stream, load
from overfocus.data.image_files import FileImages
from overfocus.data.resize import fitted, interpolation_of

FULL = Augment(flip=True, crop=3, jitter=0.4)


def stream(split, **settings):
    channels = split.images.channels
    given = {"batch": 5, "mean": (0.4,) * channels, "std": (0.25,) * channels, "seed": 3, **settings}
    return Stream(split, **given)


def same(first, second):
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and torch.equal(a.rows, b.rows)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture
def files(tmp_path, random_split):
    split = random_split(13)
    paths = []
    for row in range(13):
        paths.append(str(tmp_path / f"{row}.png"))
        Image.fromarray(split.images.read(row).permute(1, 2, 0).numpy()).save(paths[-1])
    return Split(FileImages(tmp_path, tuple(paths)), split.labels, split.classes)


def test_evaluation_takes_all_in_order_and_normalises(random_split):
    split = random_split()
    batches = list(stream(split, train=False, augment=FULL).epoch())
    assert [len(batch.labels) for batch in batches] == [5, 5, 5, 5, 3]
    assert torch.equal(torch.cat([batch.rows for batch in batches]), torch.arange(23))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), split.labels)
    images = torch.cat([batch.images for batch in batches])
    assert torch.allclose(images, (split.images.pixels / 255 - 0.4) / 0.25, atol=1e-5)


def test_training_takes_each_image_once_in_a_new_order(random_split):
    split = random_split()
    shuffled = stream(split)
    first, second = (torch.cat([batch.rows for batch in shuffled.epoch(epoch)]) for epoch in (0, 1))
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(23))
    assert first.tolist() != second.tolist()
    for batch in shuffled.epoch(4):
        expected = (split.images.pixels[batch.rows] / 255 - 0.4) / 0.25
        assert torch.allclose(batch.images, expected, atol=1e-5)
        assert torch.equal(batch.labels, split.labels[batch.rows])


def test_a_seed_and_an_epoch_fix_the_batches(random_split):
    split = random_split()
    assert same(stream(split, augment=FULL).epoch(2), stream(split, augment=FULL).epoch(2))
    assert not same(stream(split, augment=FULL).epoch(2), stream(split, augment=FULL, seed=4).epoch(2))


def test_an_epoch_can_start_in_its_middle(random_split):
    made = stream(random_split(), augment=FULL)
    assert same(list(made.epoch(1))[3:], made.epoch(1, start=3))


@pytest.mark.parametrize(("count", "steps"), [(20, 4), (21, 4), (22, 5), (1, 1)])
def test_a_tail_of_one_is_left_out_of_training(random_split, count, steps):
    made = stream(random_split(count))
    assert len(made) == len(list(made.epoch())) == steps
    assert sum(len(batch.rows) for batch in stream(random_split(count), train=False).epoch()) == count


def test_drop_last(random_split):
    assert len(stream(random_split(23), drop_last=True)) == 4


@pytest.mark.parametrize(
    "augment",
    [
        Augment(),
        FULL,
        Augment(flip=True, policy="randaugment"),
        Augment(resized_crop=True, policy="trivialaugment"),
        Augment(policy="autoaugment"),
    ],
)
def test_workers_do_not_change_the_batches(files, augment):
    alone = stream(files, augment=augment, memory_budget_bytes=0, size=(8, 10))
    assert alone.path == "workers"
    for workers in (1, 2):
        helped = stream(files, augment=augment, memory_budget_bytes=0, size=(8, 10), workers=workers)
        for epoch in (1, 0):
            assert same(alone.epoch(epoch), helped.epoch(epoch))


def test_both_paths_give_the_same_batches(files):
    memory = stream(files, augment=FULL, size=(8, 10))
    workers = stream(files, augment=FULL, size=(8, 10), memory_budget_bytes=0)
    assert (memory.path, workers.path) == ("memory", "workers")
    assert (memory.shared, workers.shared) == (True, False)
    assert same(memory.epoch(1), workers.epoch(1))


class Counted(FileImages):
    """Files that count how often they are read."""

    reads: ClassVar[list[int]] = []

    def read(self, index):
        self.reads.append(index)
        return super().read(index)


@pytest.mark.parametrize("kept", [0, 5, 12])
def test_decoded_images_are_kept_up_to_the_budget(files, kept):
    bytes_each = 3 * 9 * 14
    Counted.reads.clear()
    counted = replace(files, images=Counted(files.images.root, files.images.paths))
    made = stream(counted, augment=FULL, memory_budget_bytes=kept * bytes_each)
    whole = stream(files, augment=FULL)
    assert (made.path, whole.path) == ("workers", "memory")
    for epoch in range(3):
        assert same(made.epoch(epoch), whole.epoch(epoch))
    assert sorted(Counted.reads) == sorted(list(range(13)) + 2 * list(range(kept, 13)))


def test_an_epoch_on_threads_can_be_left_and_begun_anew(files):
    made = stream(files, batch=2, memory_budget_bytes=0)
    batches = made.epoch(1)
    first = next(batches)
    batches.close()
    assert same([first], list(made.epoch(1))[:1])


def test_policies_need_workers_in_training_only(random_split):
    augment = Augment(policy="randaugment")
    assert stream(random_split(), augment=augment).path == "workers"
    assert stream(random_split(), augment=augment, train=False).path == "memory"


def test_policies_change_images_anew_each_epoch(files):
    made = stream(files, augment=Augment(policy="trivialaugment"))
    by_row = [
        {int(row): image for batch in made.epoch(epoch) for row, image in zip(batch.rows, batch.images, strict=True)}
        for epoch in (0, 1)
    ]
    assert any(not torch.equal(by_row[0][row], by_row[1][row]) for row in by_row[0])


def test_global_generators_stay_where_they_are(files):
    before, pythons = torch.get_rng_state(), random.getstate()
    for workers in (0, 1):
        list(stream(files, augment=Augment(flip=True, policy="randaugment"), workers=workers).epoch())
    list(stream(files, augment=FULL).epoch())
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == pythons


@pytest.mark.parametrize("budget", [0, 2**32])
def test_processes_share_the_global_batch(files, budget):
    settings = {"augment": FULL, "size": (8, 10), "memory_budget_bytes": budget, "batch": 4}
    whole = list(stream(files, **settings).epoch(1))
    ranks = [stream(files, **settings, rank=rank, world=3) for rank in range(3)]
    assert len({len(rank) for rank in ranks}) == 1
    for step, batches in enumerate(zip(*(rank.epoch(1) for rank in ranks), strict=True)):
        own = [
            b if not r.shared else type(b)(*(v[r.mine(len(b.rows))] for v in b))
            for r, b in zip(ranks, batches, strict=True)
        ]
        for field in range(3):
            assert torch.equal(torch.cat([b[field] for b in own]), whole[step][field])


def test_a_rank_without_rows_gets_an_empty_batch_in_evaluation(files):
    made = stream(files, train=False, batch=4, size=(8, 10), memory_budget_bytes=0, rank=2, world=3)
    assert [len(batch.images) for batch in made.epoch()] == [1, 1, 1, 0]


def test_grey_images(random_split):
    batch = next(stream(random_split(channels=1), augment=FULL).epoch())
    assert batch.images.shape == (5, 1, 9, 14)


def test_flip_and_shift_by_hand():
    image = torch.arange(12, dtype=torch.uint8).view(1, 1, 3, 4)
    flipped = Changes(flips=torch.tensor([True])).move(image)
    assert flipped[0, 0, 0].tolist() == [3, 2, 1, 0]
    moved = Changes(shifts=torch.tensor([[1, -2]])).move(image)
    assert moved[0, 0].tolist() == [[6, 7, 6, 5], [2, 3, 2, 1], [6, 7, 6, 5]]
    padded = torch.nn.functional.pad(image.float(), (2, 2, 1, 1), mode="reflect").byte()
    assert torch.equal(moved, padded[..., 0:3, 4:8])
    both = Changes(flips=torch.tensor([True]), shifts=torch.tensor([[1, -2]])).move(image)
    assert torch.equal(both, Changes(shifts=torch.tensor([[1, -2]])).move(image.flip(3)))


@pytest.mark.parametrize("augment", [Augment(flip=True), Augment(crop=4), Augment(flip=True, crop=4)])
def test_moving_a_batch_equals_moving_pixel_by_pixel(augment):
    images = torch.randint(0, 256, (6, 2, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    changes = augment.plan(Key.seeded(5), 6)
    moved = changes.move(images)
    reflected = [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0], [4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2]
    for n in range(6):
        down, right = (0, 0) if changes.shifts is None else changes.shifts[n].tolist()
        source = images[n].flip(2) if changes.flips is not None and changes.flips[n] else images[n]
        for y in range(5):
            for x in range(7):
                assert torch.equal(
                    moved[n, :, y, x], source[:, reflected[0][y - down + 4], reflected[1][x - right + 4]]
                )


def test_each_image_is_changed_in_its_own_way(random_split):
    changes = FULL.plan(Key.seeded(0), 4000)
    assert abs(changes.flips.float().mean() - 0.5) < 0.03
    assert changes.shifts.unique(dim=0).shape == (49, 2)
    assert 0.6 <= changes.tones.min() < 0.61
    assert 1.39 < changes.tones.max() <= 1.4


def test_jitter_keeps_grey_grey_and_the_range():
    images = torch.full((6, 3, 4, 5), 120.0)
    tinted = Changes(tones=torch.rand(6, 3) * 2).tint(images)
    assert torch.allclose(tinted[:, 0], tinted[:, 2], atol=1e-3)
    assert 0 <= tinted.min() <= tinted.max() <= 255


def test_what_is_refused(random_split):
    split = random_split()
    with pytest.raises(OverfocusError, match="3 channels, but there are 1 means"):
        stream(split, mean=(0.5,), std=(0.5,))
    with pytest.raises(OverfocusError, match="no images"):
        stream(split.subset([]))
    with pytest.raises(OverfocusError, match="batch of 2 for 3 processes"):
        stream(split, batch=2, world=3)
    with pytest.raises(OverfocusError, match="crop of 9 pixels"):
        stream(split, augment=Augment(crop=9))
    with pytest.raises(UnknownName, match="did you mean 'randaugment'"):
        Augment(policy="randaug")  # pyright: ignore
    with pytest.raises(OverfocusError, match="jitter"):
        Augment(jitter=2)


@pytest.mark.parametrize("budget", [0, 2**32])
def test_images_of_several_sizes_need_one(tmp_path, write_image, budget):
    paths = (str(write_image(tmp_path / "a.png")), str(write_image(tmp_path / "b.png", height=8)))
    split = Split(FileImages(tmp_path, paths), torch.tensor([0, 1]), ("a", "b"))
    with pytest.raises(OverfocusError, match=r"b\.png: 8 x 11 pixels where others have 7 x 11; .*--size"):
        list(stream(split, memory_budget_bytes=budget).epoch())
    assert next(stream(split, memory_budget_bytes=budget, size=6).epoch()).images.shape == (2, 3, 6, 6)


def test_fashion_mnist_streams(real):
    dataset = load("fashion_mnist", root=real)
    batch = next(Stream(dataset.splits["test"], batch=1000, mean=dataset.mean, std=dataset.std, train=False).epoch())
    assert batch.images.shape == (1000, 1, 28, 28)
    assert abs(batch.images.mean()) < 0.05
    assert abs(batch.images.std() - 1) < 0.05


BICUBIC = Preprocess(size=(16, 16), interpolation="bicubic")


def test_a_resized_crop_is_cut_out_of_the_stored_image_however_it_was_fitted(tmp_path):
    """A wide picture is black in its middle, which is all that a centre cut shows; crops see its white sides too."""
    pixels = np.full((16, 64, 3), 255, dtype=np.uint8)
    pixels[:, 22:42] = 0
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    split = Split(
        FileImages(tmp_path, (str(tmp_path / "wide.png"),) * 40), torch.zeros(40, dtype=torch.int64), ("only",)
    )
    crop = Augment(resized_crop=True, area=(0.2, 0.3))
    for once in (fitted(split, BICUBIC), fitted(split, BICUBIC).subset(range(30)), split):
        plain = stream(once, size=16, train=False, batch=40, mean=(0, 0, 0), std=(1, 1, 1)).epoch()
        assert next(iter(plain)).images.max() < 0.1
        made = stream(once, size=16, augment=crop, batch=40, mean=(0, 0, 0), std=(1, 1, 1)).epoch()
        whitest = next(iter(made)).images.amax(dim=(1, 2, 3))
        assert 0.3 < (whitest > 0.9).float().mean() < 1


@pytest.mark.parametrize("area", [(0.9, 1.0), (0.1, 0.2)])
def test_a_resized_crop_cuts_out_the_share_that_it_is_given(tmp_path, area):
    """A picture whose left half is white is halved by large crops, and all of one colour in many small ones."""
    pixels = np.zeros((40, 40, 3), dtype=np.uint8)
    pixels[:, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    split = Split(
        FileImages(tmp_path, (str(tmp_path / "half.png"),) * 40), torch.zeros(40, dtype=torch.int64), ("only",)
    )
    crop = Augment(resized_crop=True, area=area)
    images = next(iter(stream(split, size=16, augment=crop, batch=40, mean=(0,) * 3, std=(1,) * 3).epoch())).images
    mixed = ((images.mean(dim=(1, 2, 3)) - 0.5).abs() < 0.1).float().mean()
    assert mixed > 0.9 if area[0] > 0.5 else mixed < 0.6


def test_the_innermost_fit_says_how_images_are_resized(files):
    assert interpolation_of(files.images) == "bilinear"
    assert interpolation_of(fitted(files, BICUBIC).images) == "bicubic"
    assert interpolation_of(fitted(files.subset([0, 1]), BICUBIC).images) == "bicubic"
    assert interpolation_of(fitted(fitted(files, BICUBIC).subset([0, 1]), (8, 8)).images) == "bicubic"


@pytest.mark.parametrize("area", [(0.0, 1.0), (0.8, 0.5), (0.5, 1.1)])
def test_an_area_that_is_no_share_is_refused(area):
    with pytest.raises(OverfocusError, match="area"):
        Augment(resized_crop=True, area=area)
