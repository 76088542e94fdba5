"""Laws of the embedded set totem-scenes."""

import torch

from overfocus.core.key import Key
from overfocus.data.images import TensorImages
from overfocus.downstream.scenes import EDGE, background, totem_scenes


def small(train=40, test=20, seed=0):
    return totem_scenes(train, test, seed)


def test_the_same_seed_gives_the_same_scenes_and_another_one_others():
    state = torch.get_rng_state()
    assert small().fingerprint() == small().fingerprint() != small(seed=1).fingerprint()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_larger_set_begins_with_the_smaller():
    few, many = small(train=5).train, small(train=12).train
    assert torch.equal(few.images.pixels, many.images.pixels[:5])
    assert all(torch.equal(a, b) for a, b in zip(few.boxes, many.boxes[:5], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(few.labels, many.labels[:5], strict=True))


def test_boxes_lie_inside_and_do_not_overlap():
    objects = small(train=300).train
    counts = torch.tensor([len(boxes) for boxes in objects.boxes])
    assert set(counts.tolist()) == {1, 2, 3, 4}
    for boxes in objects.boxes:
        covered = torch.zeros(EDGE, EDGE, dtype=torch.int64)
        for x0, y0, x1, y1 in boxes.tolist():
            assert 0 <= x0 < x1 <= EDGE
            assert 0 <= y0 < y1 <= EDGE
            assert (x1 - x0, y1 - y0) == (12, 36)
            covered[y0:y1, x0:x1] += 1
        assert covered.max() == 1


def test_boxes_are_tight_around_what_is_painted():
    """Beside the same clutter without totems, every pixel that differs lies in a box and reaches all of its sides."""
    objects = small().train
    assert isinstance(objects.images, TensorImages)
    empty = background(Key.seeded(0).fold_in("totem-scenes").fold_in("train"), len(objects))
    differs = (objects.images.pixels != empty).any(dim=1)
    for here, boxes in zip(differs, objects.boxes, strict=True):
        left = here.clone()
        for x0, y0, x1, y1 in boxes.tolist():
            y, x = here[y0:y1, x0:x1].nonzero().unbind(1)
            assert (x.min(), x.max(), y.min(), y.max()) == (0, x1 - x0 - 1, 0, y1 - y0 - 1)
            left[y0:y1, x0:x1] = False
        assert not left.any()


def test_every_class_is_there_and_totems_stand_anywhere():
    objects = small(train=300).train
    assert torch.bincount(torch.cat(list(objects.labels)), minlength=10).min() > 40
    corners = torch.cat(list(objects.boxes))[:, :2]
    assert corners.amin(0).tolist() == [0, 0]
    assert corners.amax(0).tolist() == [EDGE - 12, EDGE - 36]


def test_a_totem_looks_as_its_label_says():
    """The disc's hue is its class: the totem has pixels whose colour is a darker form of it, and no other class's."""
    from overfocus.data.totem import HUES

    objects = small(train=30).train
    hues = torch.tensor(HUES).float()
    hues = hues / hues.norm(dim=1, keepdim=True)
    right = 0
    for row in range(30):
        for (x0, y0, x1, y1), label in zip(objects.boxes[row].tolist(), objects.labels[row].tolist(), strict=True):
            pixels = objects.images.read(row)[:, y0:y1, x0:x1].flatten(1).T.float()
            grey = pixels.amax(1) - pixels.amin(1) < 100
            alike = (pixels[~grey] / pixels[~grey].norm(dim=1, keepdim=True)) @ hues.T
            right += int(alike.argmax(1).mode().values) == label
    assert right == sum(map(len, objects.boxes[:30]))
