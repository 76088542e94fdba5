"""Images between two classes, and how they are judged."""

import pytest
import torch

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.key import Key
from overfocus.diagnosis.mix import KINDS, LAMBDAS, kept, middle, mixed, partners


def pair(shape=(3, 2, 10, 7)):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
class TestLaws:
    def test_ends_are_the_images(self, kind):
        ours, theirs = pair()
        assert torch.equal(mixed(kind, ours, theirs, 1.0), ours)
        assert torch.equal(mixed(kind, ours, theirs, 0.0), theirs)

    @pytest.mark.parametrize("lam", LAMBDAS)
    def test_the_share_is_the_one_told(self, kind, lam):
        ours, theirs = torch.ones(1, 1, 50, 40), torch.zeros(1, 1, 50, 40)
        found = mixed(kind, ours, theirs, lam)
        assert float(found.mean()) == pytest.approx(kept(kind, (50, 40), lam), abs=1e-6)
        assert kept(kind, (50, 40), lam) == pytest.approx(lam, abs=0.025)

    def test_inputs_stay_and_half_precision(self, kind):
        ours, theirs = pair()
        before = ours.clone(), theirs.clone()
        assert mixed(kind, ours.bfloat16(), theirs.bfloat16(), 0.3).dtype == torch.bfloat16
        mixed(kind, ours, theirs, 0.3)
        assert torch.equal(ours, before[0])
        assert torch.equal(theirs, before[1])

    def test_errors(self, kind):
        ours, theirs = pair()
        with pytest.raises(OverfocusError, match=r"lambda is 1\.5"):
            mixed(kind, ours, theirs, 1.5)
        with pytest.raises(OverfocusError, match="lambda is nan"):
            mixed(kind, ours, theirs, float("nan"))
        with pytest.raises(OverfocusError, match="same size"):
            mixed(kind, ours, theirs[:2], 0.5)


def test_unknown_kinds():
    with pytest.raises(UnknownName, match="cutmix"):
        mixed("cutmx", *pair(), 0.5)


def test_mixup_by_hand():
    found = mixed("mixup", torch.full((1, 1, 2, 3), 0.9), torch.full((1, 1, 2, 3), 0.4), 0.2)
    assert found.flatten().tolist() == pytest.approx([0.5] * 6)


def test_cutmix_by_hand():
    # 1 - 0.75 = 0.25, so half of 8 rows and half of 4 columns, in the middle.
    assert middle((8, 4), 0.75).tolist() == [[1, 2, 3, 6]]
    found = mixed("cutmix", torch.zeros(1, 1, 8, 4), torch.ones(1, 1, 8, 4), 0.75)
    assert found.sum() == 8
    assert bool((found[0, 0, 2:6, 1:3] == 1).all())


def test_partners_are_of_another_class():
    labels = torch.tensor([2, 0, 0, 1, 2, 2, 0, 5, 2])
    rows = partners(labels, Key.seeded(0))
    assert bool((labels[rows] != labels).all())
    assert torch.equal(rows, partners(labels, Key.seeded(0)))


def test_every_other_image_is_as_likely():
    labels = torch.tensor([0, 0, 1, 2, 2, 1, 0]).repeat(3000)
    rows = partners(labels, Key.seeded(1))
    for own, other, share in [(0, 1, 2 / 4), (1, 0, 3 / 5), (1, 2, 2 / 5), (2, 0, 3 / 5)]:
        found = labels[rows[labels == own]]
        assert float((found == other).float().mean()) == pytest.approx(share, abs=0.025)
    assert len(rows.unique()) > 0.5 * len(labels), "not always the same partners"


def test_no_image_is_left_out():
    drawn = {int(partners(torch.tensor([0, 1, 1]), Key.seeded(0, step))[0]) for step in range(40)}
    assert drawn == {1, 2}


def test_one_class_has_no_partner():
    for labels in (torch.tensor([3]), torch.tensor([1, 1, 1])):
        with pytest.raises(OverfocusError, match="one class"):
            partners(labels, Key.seeded(0))
