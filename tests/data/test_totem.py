import time
from hashlib import sha256

import pytest
import torch
from sklearn.datasets import load_digits

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data import load, totem
from overfocus.data.totem import CLASSES, CONFLICTS, FIRST_TEST_DIGIT, HUES, PARTS, SPLITS, _table

DIGESTS = (
    "ad8a0918ecdb92ca4815be30374e9205ffaae41cda8230d5094ebbf942637c11",
    "fa6cac74f0c677d66a6efa4e877e6fd702673cbb9106fd869c313d002943322f",
    "b3201e5ae300e6aab01079cd2f7bdcad6c88ee8dc23c7d9a5dccca15e5142912",
)
"""Of the splits whose parts agree, of those whose parts do not, and of the training images with the digit alone."""


@pytest.fixture(scope="module")
def small():
    return totem(train=60, test=40)


def pixels(dataset, name):
    return dataset.splits[name].images.pixels


def digest(dataset, names):
    found = sha256()
    for name in names:
        found.update(pixels(dataset, name).numpy().tobytes())
        found.update(dataset.splits[name].labels.numpy().tobytes())
    return found.hexdigest()


def test_the_same_bytes_everywhere(small):
    agreeing, conflicting, digits = DIGESTS
    assert digest(small, ["train", *SPLITS]) == agreeing
    assert digest(small, CONFLICTS) == conflicting
    assert digest(totem(train=60, test=0, shown=("digit",)), ["train"]) == digits


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
    assert list(small.splits) == ["train", *SPLITS, *CONFLICTS]
    assert small.splits["test"] is small.splits["all"]
    assert pixels(small, "train").shape == (60, 3, 40, 40)
    assert small.splits["train"].counts().tolist() == [6] * 10
    assert all(torch.equal(small.splits[name].labels, small.splits["all"].labels) for name in (*SPLITS, *CONFLICTS))


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


@pytest.mark.parametrize("name", ["train", *SPLITS, *CONFLICTS])
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


@pytest.mark.parametrize("name", ["all", *CONFLICTS])
def test_the_hue_names_the_class(small, name):
    split = small.splits[name]
    mask = split.masks["disc"][:, None]
    colour = (split.images.pixels * mask).flatten(2).sum(2) / mask.flatten(2).sum(2)
    hues = torch.tensor(HUES, dtype=torch.float32)
    alike = torch.nn.functional.cosine_similarity(colour[:, None], hues[None], dim=2)
    assert torch.equal(alike.argmax(dim=1), split.cues.get("disc", split.labels))


@pytest.mark.parametrize("name", ["all", "conflict"])
def test_the_direction_names_the_class(small, name):
    split = small.splits[name]
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
    assert (score.argmax(dim=1) == split.cues.get("stripes", split.labels)).float().mean() > 0.9


@pytest.mark.parametrize("name", CONFLICTS)
def test_parts_in_conflict_name_different_classes_and_the_rest_stays(name):
    dataset = totem(train=0, test=900)
    split, same = dataset.splits[name], dataset.splits["all" if name == "conflict" else "no-stripes"]
    assert tuple(split.cues) == CONFLICTS[name]
    assert torch.equal(split.cues["digit"], split.labels)
    named = torch.stack(tuple(split.cues.values()))
    assert all(len(set(each)) == len(named) for each in named.T.tolist())
    pairs = torch.bincount(split.labels * 10 + split.cues["disc"], minlength=100).view(10, 10)
    assert (pairs.diagonal() == 0).all()
    assert (pairs.sum(dim=0) > 60).all()
    repainted = split.masks["disc"] | split.masks["stripes"]
    differs = (split.images.pixels != same.images.pixels).any(dim=1)
    assert differs[split.masks["disc"]].float().mean() > 0.9
    assert not (differs & ~repainted).any()


def test_a_subset_keeps_what_its_cues_name(small):
    some = small.splits["conflict"].subset([7, 3])
    assert all(torch.equal(some.cues[part], small.splits["conflict"].cues[part][[7, 3]]) for part in PARTS)


def test_totem_digit_shows_the_digit_alone_in_training_and_the_same_test_images(small):
    digits, train = totem(train=60, test=40, shown=("digit",)), small.splits["train"]
    assert (digits.name, load("totem-digit").name) == ("totem-digit", "totem-digit")
    split = digits.splits["train"]
    assert torch.equal(split.labels, train.labels)
    assert not split.masks["disc"].any()
    assert not split.masks["stripes"].any()
    assert torch.equal(split.masks["digit"], train.masks["digit"])
    shown = train.masks["digit"][:, None].expand(-1, 3, -1, -1)
    assert torch.equal(pixels(digits, "train")[shown], pixels(small, "train")[shown])
    assert all(torch.equal(pixels(digits, name), pixels(small, name)) for name in (*SPLITS, *CONFLICTS))


def test_training_shows_parts_that_there_are():
    with pytest.raises(UnknownName, match="stripes"):
        totem(train=10, test=0, shown=("stripe",))
    with pytest.raises(OverfocusError):
        totem(train=10, test=0, shown=())


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
