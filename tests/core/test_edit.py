"""Edits change what is under their mask and nothing else; their control changes as much elsewhere."""

import pytest
import torch

from overfocus.core.edit import Edit, apply, apply_all, control, piece
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key

SIZE = (5, 7)
IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def square(fill, filling="mean"):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[1:3, 2:5] = True
    return Edit(mask, fill, filling)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, *SIZE), (2, 3, *SIZE)])
def test_only_what_is_under_the_mask_changes(shape):
    fill = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    edit, before = square(fill), IMAGES.clone()
    changed = apply(IMAGES, edit)
    assert torch.equal(IMAGES, before)
    assert torch.equal(changed[..., ~edit.mask], IMAGES[..., ~edit.mask])
    assert torch.equal(changed[..., edit.mask], fill.expand_as(IMAGES)[..., edit.mask])
    assert edit.share == pytest.approx(6 / 35)


def test_the_later_edit_lies_over_the_earlier():
    first, second = square(torch.zeros(3, 1, 1)), square(torch.ones(3, 1, 1))
    assert torch.equal(apply_all(IMAGES, [first, second]), apply(IMAGES, second))
    assert apply_all(IMAGES, []) is IMAGES


def test_the_control_is_as_large_and_moves():
    edit = square(torch.rand(3, *SIZE))
    moved = [control(edit, Key.seeded(seed)) for seed in range(20)]
    assert {each.share for each in moved} == {edit.share}
    assert len({tuple(each.mask.flatten().tolist()) for each in moved}) > 10
    assert all(each.fill is edit.fill for each in moved)
    again = control(edit, Key.seeded(3))
    assert torch.equal(again.mask, moved[3].mask)


def test_a_piece_of_another_picture_moves_along():
    donor = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(2))
    edit = piece(donor, (1, 0, 4, 2), (2, 1), SIZE)
    assert torch.equal(edit.mask, square(donor).mask)
    shown = apply(IMAGES, edit)
    assert torch.equal(shown[0, :, 1:3, 2:5], donor[:, 0:2, 1:4])
    moved = control(edit, Key.seeded(5))
    assert not torch.equal(moved.mask, edit.mask)
    pasted = apply(IMAGES, moved)[0][:, moved.mask]
    assert torch.equal(pasted.flatten().sort().values, donor[:, 0:2, 1:4].flatten().sort().values)


def test_what_of_a_piece_would_lie_outside_is_left_out():
    donor = torch.rand(3, 4, 6)
    edit = piece(donor, (0, 0, 6, 4), (-2, 3), SIZE)
    assert edit.share == pytest.approx(4 * 2 / 35)
    assert torch.equal(apply(IMAGES, edit)[1, :, 3:, :4], donor[:, :2, 2:])


@pytest.mark.parametrize(
    "make",
    [
        lambda: piece(torch.rand(3, 4, 6), (0, 0, 7, 2), (0, 0), SIZE),
        lambda: piece(torch.rand(3, 4, 6), (2, 2, 2, 3), (0, 0), SIZE),
        lambda: piece(torch.rand(3, 4, 6), (0, 0, 2, 2), (7, 0), SIZE),
        lambda: Edit(torch.zeros(SIZE), torch.zeros(3, 1, 1)),
        lambda: apply(torch.rand(3, 7, 5), square(torch.zeros(3, 1, 1))),
    ],
)
def test_what_fits_nowhere_is_an_error(make):
    with pytest.raises(OverfocusError, match="edit"):
        make()
