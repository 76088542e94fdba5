"""Methods as transforms of batches, and what follows the pixels."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.integrations.torchvision import OnBatch

SOURCE = torch.Generator().manual_seed(0)
IMAGES = torch.rand(9, 3, 20, 14, generator=SOURCE)
LABELS = torch.arange(9) % 4


def test_it_is_called_as_torchvisions_are():
    images, targets = OnBatch("cutmix(prob=1.0)", num_classes=4)(IMAGES, LABELS)
    theirs, their_targets = v2.CutMix(num_classes=4)(IMAGES, LABELS)
    assert images.shape == theirs.shape
    assert targets.shape == their_targets.shape
    torch.testing.assert_close(targets.sum(1), their_targets.sum(1))
    changed = (images != IMAGES).any(dim=1).float().mean(dim=(1, 2))
    assert len(changed.unique()) > 3, "boxes of their own"


def test_the_share_of_the_label_is_the_share_of_the_pixels():
    """With one colour for each class, an image's own colour covers what its label weighs."""
    images = LABELS[:, None, None, None].float().expand(9, 3, 20, 14)
    mixed, targets = OnBatch("cutmix(prob=1.0)", num_classes=4)(images, LABELS)
    shares = torch.stack([(mixed[:, 0] == colour).float().mean(dim=(1, 2)) for colour in range(4)], dim=1)
    torch.testing.assert_close(shares, targets)


def test_the_same_seed_gives_the_same_and_steps_differ():
    one, other = OnBatch("mixup", 4, seed=1), OnBatch(of.parse("mixup"), 4, seed=1)
    first = one(IMAGES, LABELS)[0]
    assert torch.equal(first, other(IMAGES, LABELS)[0])
    assert not torch.equal(first, one(IMAGES, LABELS)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_as_a_collate_fn(workers):
    mix = OnBatch("cutmix(prob=1.0)", 4)
    data = TensorDataset(IMAGES[:1].repeat(8, 1, 1, 1) * torch.arange(8).reshape(8, 1, 1, 1), LABELS[:8])

    def epoch():
        loader = DataLoader(data, batch_size=4, collate_fn=mix.collate, num_workers=workers,
                            generator=torch.Generator().manual_seed(5))  # fmt: skip
        return list(loader)

    batches = epoch()
    assert [targets.shape for _, targets in batches] == [(4, 4), (4, 4)]
    kept = [targets.gather(1, LABELS[:4, None]) for _, targets in batches]
    assert not torch.equal(*kept), "two workers draw apart"
    if workers:
        assert torch.equal(batches[0][0], epoch()[0][0]), "the loader's own seed tells the rest"


def test_masks_follow_the_pasted_region():
    masks = tv_tensors.Mask((IMAGES[:, 0] * 1000).long())
    mix = OnBatch("cutmix(prob=1.0) + cutout(size=5)", 4)
    images, _, moved = mix.with_masks(IMAGES, LABELS, masks)
    assert isinstance(moved, tv_tensors.Mask)
    assert moved.dtype == masks.dtype
    assert torch.equal(moved, (images[:, 0] * 1000).long()), "where the pixel comes from, there the mask does"
    several = mix.with_masks(IMAGES, LABELS, torch.stack((masks, masks + 1), dim=1))[2]
    assert several.shape == (9, 2, 20, 14)


def test_boxes_are_the_extent_of_what_is_left_to_see():
    """Every object has a colour of its own, so a search for the colour finds the box."""
    images, boxes = torch.zeros(6, 1, 20, 14), []
    for image in range(6):
        places = torch.tensor([[1, 2, 6, 8], [7, 9, 13, 19]])[: 1 + image % 2]
        for number, (x0, y0, x1, y1) in enumerate(places.tolist()):
            images[image, 0, y0:y1, x0:x1] = 10 * (image + 1) + number
        boxes.append(places)
    mixed, _, moved, origins = OnBatch("cutmix(prob=1.0)", 4, least_visible=0.0).with_boxes(images, LABELS[:6], boxes)
    changed = 0
    for image in range(6):
        seen = set(mixed[image].unique().tolist()) - {0.0}
        assert {10 * (i + 1) + n for i, n in origins[image].tolist()} == seen
        for (x0, y0, x1, y1), (i, n) in zip(moved[image].tolist(), origins[image].tolist(), strict=True):
            rows, columns = (mixed[image, 0] == 10 * (i + 1) + n).nonzero(as_tuple=True)
            assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            changed += i != image
    assert changed


def test_a_box_of_which_little_is_left_is_dropped():
    images, boxes = torch.zeros(6, 1, 20, 14), [torch.tensor([[1, 2, 12, 18]])] * 6
    few = OnBatch("cutmix(prob=1.0)", 4, least_visible=0.9).with_boxes(images, LABELS[:6], boxes)[2]
    many = OnBatch("cutmix(prob=1.0)", 4, least_visible=0.0).with_boxes(images, LABELS[:6], boxes)[2]
    assert sum(map(len, few)) < sum(map(len, many))
    none = OnBatch("cutmix", 4).with_boxes(images, LABELS[:6], [torch.zeros(0, 4)] * 6)[2]
    assert [each.shape for each in none] == [(0, 4)] * 6


def test_what_cannot_be_is_refused():
    with pytest.raises(OverfocusError, match="acts on features"):
        OnBatch("cutmix + sgdrop", 4)
    for blends in ("mixup", "cutout(fill='noise')", "cutmix + mixup"):
        with pytest.raises(OverfocusError, match="masks and boxes can follow cutmix"):
            OnBatch(blends, 4).with_masks(IMAGES, LABELS, IMAGES[:, 0])
