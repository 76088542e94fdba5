import time
from hashlib import sha256

import pytest
import torch
from sklearn.datasets import load_digits

from overfocus.data import totem
from overfocus.data.totem import CLASSES, FIRST_TEST_DIGIT, HUES, PARTS, SPLITS, _table


@pytest.fixture(scope="module")
def small():
    return totem(train=60, test=40)


def pixels(dataset, name):
    return dataset.splits[name].images.pixels


def test_the_same_bytes_everywhere(small):
    digest = sha256()
    for split in small.splits.values():
        digest.update(split.images.pixels.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    assert digest.hexdigest() == "ad8a0918ecdb92ca4815be30374e9205ffaae41cda8230d5094ebbf942637c11"


def test_neither_threads_nor_the_global_generator_matter(small):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        again = totem(train=60, test=40)
    finally:
        torch.set_num_threads(threads)
    assert again.fingerprint() == small.fingerprint()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_makes_other_pictures(small):
    assert totem(train=60, test=40, seed=1).fingerprint() != small.fingerprint()


def test_shape_and_splits(small):
    assert list(small.splits) == ["train", *SPLITS]
    assert small.splits["test"] is small.splits["all"]
    assert pixels(small, "train").shape == (60, 3, 40, 40)
    assert small.splits["train"].counts().tolist() == [6] * 10
    assert all(torch.equal(small.splits[name].labels, small.splits["all"].labels) for name in SPLITS)


@pytest.mark.parametrize("name", SPLITS)
def test_splits_differ_only_where_parts_are_hidden(small, name):
    hidden = torch.zeros(40, 40, 40, dtype=torch.bool)
    for part in set(PARTS) - set(SPLITS[name]):
        hidden |= small.splits["all"].masks[part]
        assert not small.splits[name].masks[part].any()
    differs = (pixels(small, name) != pixels(small, "all")).any(dim=1)
    assert not (differs & ~hidden).any()
    if hidden.any():
        assert differs[hidden].float().mean() > 0.9


@pytest.mark.parametrize("name", ["train", *SPLITS])
def test_the_box_is_the_smallest_around_the_shown_parts(small, name):
    split = small.splits[name]
    shown = torch.stack([split.masks[part] for part in PARTS]).any(dim=0)
    for box, mask in zip(split.boxes, shown, strict=True):
        y, x = mask.nonzero().unbind(1)
        assert box.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]


def test_parts_do_not_overlap_and_keep_their_size(small):
    masks = small.splits["train"].masks
    assert torch.stack([masks[part] for part in PARTS]).sum(dim=0).max() == 1
    assert (masks["stripes"].flatten(1).sum(1) == 144).all()
    assert (masks["digit"].flatten(1).sum(1) == 144).all()
    assert (masks["disc"].flatten(1).sum(1) == masks["disc"][0].sum()).all()


def test_orders_and_places_vary():
    split = totem(train=400, test=0).splits["train"]
    top = torch.stack([split.masks[part].flatten(1).int().argmax(dim=1) // 40 for part in PARTS])
    assert len({tuple(order) for order in top.argsort(dim=0).T.tolist()}) == 6
    corners = {tuple(box[0, :2].tolist()) for box in split.boxes}
    assert len({x for x, _ in corners}) == 29
    assert len({y for _, y in corners}) == 5


def test_the_hue_names_the_class(small):
    split = small.splits["all"]
    mask = split.masks["disc"][:, None]
    colour = (split.images.pixels * mask).flatten(2).sum(2) / mask.flatten(2).sum(2)
    hues = torch.tensor(HUES, dtype=torch.float32)
    alike = torch.nn.functional.cosine_similarity(colour[:, None], hues[None], dim=2)
    assert torch.equal(alike.argmax(dim=1), split.labels)


def test_the_direction_names_the_class(small):
    split = small.splits["all"]
    patches = torch.stack(
        [image[0][mask].view(12, 12) for image, mask in zip(split.images.pixels, split.masks["stripes"], strict=True)]
    )
    spectrum = torch.fft.fft2(patches.double() - patches.double().mean(dim=(1, 2), keepdim=True)).abs()
    frequency = torch.fft.fftfreq(12, dtype=torch.float64)
    angles = torch.arange(10) * torch.pi / 10
    wave = torch.stack((angles.cos(), angles.sin()), dim=1) / 4
    near = (frequency[None, None, :] - wave[:, 0, None, None]) ** 2 + (
        frequency[None, :, None] - wave[:, 1, None, None]
    ) ** 2
    score = (spectrum[:, None] * torch.exp(-near / 0.001)[None]).sum(dim=(2, 3))
    assert (score.argmax(dim=1) == split.labels).float().mean() > 0.9


def test_the_scene_does_not_tell_the_class():
    split = totem(train=3000, test=0).splits["train"]
    shown = torch.stack(list(split.masks.values())).any(dim=0)[:, None]
    scene = split.images.pixels.float().masked_fill(shown, 0).sum(dim=(2, 3)) / (~shown).sum(dim=(2, 3))
    means = torch.stack([scene[split.labels == label].mean(dim=0) for label in range(10)])
    spread = scene.std(dim=0) / 300**0.5
    assert ((means - scene.mean(dim=0)).abs() < 4 * spread).all()


def test_writers_are_kept_apart():
    names = _table()[:, -1]
    assert names[FIRST_TEST_DIGIT : FIRST_TEST_DIGIT + 30].tolist() == list(range(10)) * 3


def test_handwriting_is_scikit_learns():
    digits = load_digits()
    assert torch.equal(_table()[:, :-1], torch.from_numpy(digits.data).long())
    assert torch.equal(_table()[:, -1], torch.from_numpy(digits.target).long())


def test_an_empty_part_is_possible():
    assert len(totem(train=10, test=0).splits["digit-only"]) == 0


def test_the_stated_statistics_are_those_of_the_pixels():
    dataset = totem()
    values = pixels(dataset, "train").double() / 255
    assert torch.allclose(values.mean(dim=(0, 2, 3)), torch.tensor(dataset.mean, dtype=torch.float64), atol=0.01)
    assert torch.allclose(values.std(dim=(0, 2, 3)), torch.tensor(dataset.std, dtype=torch.float64), atol=0.01)
    assert dataset.classes == CLASSES


@pytest.mark.slow
def test_three_thousand_images_in_a_second_of_processor_time():
    totem(10, 10)
    best = min(_seconds() for _ in range(5))
    assert best < 1.0


def _seconds():
    start = time.process_time()
    totem(train=3000, test=0)
    return time.process_time() - start
