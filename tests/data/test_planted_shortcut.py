"""Shortcuts that are made on purpose: how often they tell the truth, where they lie, and what they leave alone."""

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.data import Dataset, Split, Stream, TensorImages, totem
from overfocus.data.planted_shortcut import PlantedShortcut, patterned, place, stripes
from overfocus.training.experiment import settle

K = 5


def split(count, size=(21, 30), channels=1, **known):
    random = torch.Generator().manual_seed(count)
    pixels = torch.randint(1, 256, (count, channels, *size), dtype=torch.uint8, generator=random)
    labels = torch.randint(K, (count,), generator=random)
    return Split(TensorImages(pixels), labels, tuple("abcde"), **known)


def dataset(**known):
    splits = {"train": split(400, **known), "test": split(150, **known), "val": split(60, **known)}
    return Dataset("made", splits, tuple("abcde"), (0.5,), (0.5,))


def marks(part):
    return part.images.marks


def test_the_mark_is_that_of_the_class_as_often_as_it_is_said():
    made = PlantedShortcut("watermark", 0.8).into(dataset(), seed=1)
    assert list(made.splits) == ["train", "test", "test-tied", "test-clean", "val"]
    tied = (marks(made.splits["train"]) == made.splits["train"].labels).float().mean()
    assert abs(float(tied) - 0.8) < 4 * (0.16 / 400) ** 0.5
    assert (marks(made.splits["test"]) != made.splits["test"].labels).all()
    assert torch.equal(marks(made.splits["test-tied"]), made.splits["test"].labels)
    assert torch.equal(made.splits["test-clean"].images.read(3), dataset().splits["test"].images.read(3))
    others = (marks(made.splits["test"]) - made.splits["test"].labels) % K
    assert torch.bincount(others, minlength=K)[1:].min() > 150 / 4 * 0.5


def test_a_seed_makes_the_same_marks_and_another_seed_others():
    first, same, other = (PlantedShortcut(strength=0.5).into(dataset(), seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint() == same.fingerprint()
    assert first.fingerprint() != other.fingerprint() != dataset().fingerprint()


@pytest.mark.parametrize("size", [(28, 28), (21, 30), (64, 40), (8, 9)])
def test_watermarks_lie_on_the_border_each_at_its_own_place(size):
    places = [place(mark, K, size) for mark in range(K)]
    assert len({(y, x) for y, x, _ in places}) == K
    for y, x, side in places:
        assert side >= 2
        assert 0 <= y <= size[0] - side
        assert 0 <= x <= size[1] - side
        assert y in (0, size[0] - side) or x in (0, size[1] - side)


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_a_watermark_changes_its_square_and_nothing_else(classes):
    part = split(8)
    from overfocus.data.planted_shortcut import watermarked

    for mark in range(classes):
        before = part.images.read(2)
        after = watermarked(classes, before, mark, 2)
        y, x, side = place(mark, classes, (21, 30))
        assert set(after[:, y : y + side, x : x + side].unique().tolist()) == {0, 255}
        after[:, y : y + side, x : x + side] = before[:, y : y + side, x : x + side]
        assert torch.equal(after, before)
    assert torch.equal(part.images.read(2), split(8).images.read(2))


@pytest.mark.parametrize("size", [(21, 30), (40, 28)])
def test_a_pattern_lies_in_the_corner_of_its_class_or_anywhere(size):
    image = torch.full((2, *size), 100, dtype=torch.uint8)
    side = round(min(size) / 4)
    for mark in range(5):
        in_corner, again, elsewhere = (
            patterned(0.25, where, image, mark, 3) for where in ("corners", "corners", "anywhere")
        )
        changed = (in_corner != image).any(dim=0)
        assert torch.equal(in_corner, again)
        y, x = mark % 4 // 2 * (size[0] - side), mark % 2 * (size[1] - side)
        assert changed[y : y + side, x : x + side].all()
        assert changed.sum() == (elsewhere != image).any(dim=0).sum() == side**2
        assert sorted(in_corner[in_corner != 100].tolist()) == sorted(elsewhere[elsewhere != 100].tolist())
    first, other, moved = (patterned(0.25, "anywhere", image, mark, index) for mark, index in ((0, 3), (1, 3), (0, 4)))
    assert not torch.equal(first, other), "each class has its own pattern"
    assert not torch.equal(first, moved), "each image has its own place"


@pytest.mark.parametrize("side", [1 / 16, 1 / 4])
def test_a_mark_is_as_large_as_it_is_said(side):
    made = PlantedShortcut(side=side).into(dataset(), 0).splits["test-tied"]
    clean = dataset().splits["test"].images.read(0)
    rows, columns = (made.images.read(0) != clean).any(dim=0).nonzero().unbind(1)
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == max(2, round(21 * side))


@pytest.mark.parametrize("wrong", [{"side": 0.0}, {"side": 0.6}, {"where": "middle"}])
def test_a_mark_that_cannot_be_painted_is_told(wrong):
    with pytest.raises(OverfocusError, match=next(iter(wrong))):
        PlantedShortcut(**wrong)


def test_a_background_leaves_the_object_alone_by_boxes_masks_or_black():
    boxes = [torch.tensor([[3, 4, 20, 15]])] * 400
    with_boxes = PlantedShortcut("background").into(
        Dataset("made", {"train": split(400, boxes=boxes)}, tuple("abcde"), (0.5,), (0.5,)), 0
    )
    plain, painted = split(400).images.read(7), with_boxes.splits["train"].images.read(7)
    mark = int(marks(with_boxes.splits["train"])[7])
    assert torch.equal(painted[:, 4:15, 3:20], plain[:, 4:15, 3:20])
    assert torch.equal(painted[0, 15:], stripes(mark, K, (21, 30))[15:])

    scenes = totem(train=10, test=10)
    seen = PlantedShortcut("background").into(scenes, 0).splits["train"]
    inside = torch.stack([torch.as_tensor(masks[4]) for masks in seen.masks.values()]).any(dim=0)
    assert torch.equal(seen.images.read(4)[:, inside], scenes.splits["train"].images.read(4)[:, inside])
    assert not torch.equal(seen.images.read(4)[:, ~inside], scenes.splits["train"].images.read(4)[:, ~inside])

    black = split(3)
    black.images.pixels[:, :, :, :9] = 0
    on_black = PlantedShortcut("background").into(Dataset("made", {"train": black}, tuple("abcde"), (0.5,), (0.5,)), 0)
    shown = on_black.splits["train"].images.read(1)
    assert torch.equal(shown[:, :, 9:], black.images.read(1)[:, :, 9:])
    assert set(shown[:, :, :9].unique().tolist()) <= {48, 144}


def test_backgrounds_of_classes_differ():
    made = [stripes(mark, K, (21, 30)) for mark in range(K)]
    for one in range(K):
        for other in range(one):
            assert (made[one] != made[other]).float().mean() > 0.2


def test_an_experiment_has_it_and_streams_it_and_keeps_boxes():
    changes = ["data.shortcut.strength=0.9", "data.shortcut.kind=background", "data.per_class=4"]
    experiment = settle(None, {}, changes)
    made = experiment.dataset()
    assert {"all", "all-tied", "all-clean"} < set(made.splits)
    assert "names the class in 90%" in made.note
    images, labels, _ = next(iter(experiment.stream(made, "train").epoch()))
    assert images.shape[1:] == (3, 40, 40)
    assert len(labels) == 40
    stream = Stream(made.splits["all-tied"].subset([1, 5]), batch=2, mean=(0.0,) * 3, std=(1.0,) * 3, train=False)
    seen = next(iter(stream.epoch())).images
    assert torch.allclose(seen[1] * 255, made.splits["all-tied"].images.read(5).float(), atol=1e-3)
    assert settle(None, {}, []).data.shortcut is None


@pytest.mark.parametrize(("kind", "strength"), [("logo", 1.0), ("watermark", 1.5)])
def test_what_cannot_be_is_said(kind, strength):
    with pytest.raises(OverfocusError, match="shortcut"):
        PlantedShortcut(kind, strength)
