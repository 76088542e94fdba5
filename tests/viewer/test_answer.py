"""The answer to an edited picture, on a network of which it is known what it reads."""

import pytest
import torch
from corner import CORNER, SIZE, corner, red_picture

from overfocus.core.edit import Edit, apply, piece
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.viewer.answer import HIDDEN, answer, look, paints
from overfocus.viewer.neighbours import nearest, pooled

KEY = Key.seeded(0)
BLACK = torch.zeros(3, 1, 1)


def masked(*place):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[place] = True
    return mask


def test_without_edits_there_is_one_answer():
    found = answer(corner(), red_picture(), [], KEY)
    assert found.before.argmax() == 1
    assert found.share == 0
    assert torch.equal(found.before, found.after)


def test_painting_over_what_is_read_changes_the_answer_and_elsewhere_it_does_not():
    found = answer(corner(), red_picture(), [Edit(masked(*CORNER), BLACK)], KEY)
    assert (int(found.before.argmax()), int(found.after.argmax())) == (1, 0)
    assert found.before[1] > 0.99
    assert found.after[1] < 0.01
    assert found.elsewhere[1] > 0.5
    assert found.share == pytest.approx(20 / (12 * 16))


def test_painting_over_the_rest_changes_nothing():
    found = answer(corner(), red_picture(), [Edit(~masked(*CORNER), BLACK)], KEY)
    assert torch.allclose(found.after, found.before)
    assert found.elsewhere[1] < found.after[1]


def test_a_piece_brings_its_answer_along():
    grey = torch.full((3, *SIZE), 0.1)
    pasted = piece(red_picture(), (0, 0, 5, 4), (0, 0), SIZE)
    found = answer(corner(), grey, [pasted], KEY)
    assert (int(found.before.argmax()), int(found.after.argmax())) == (0, 1)
    assert found.elsewhere[1] < 0.5
    undone = answer(corner(), grey, [pasted, Edit(masked(*CORNER), BLACK)], KEY)
    assert undone.after.argmax() == 0


def test_the_same_stroke_gets_the_same_answer():
    edit = Edit(masked(slice(2, 9), slice(3, 11)), paints(red_picture(), BLACK, KEY)["noise"], "noise")
    first, second = (answer(corner(), red_picture(), [edit], KEY) for _ in range(2))
    assert torch.equal(first.elsewhere, second.elsewhere)


def test_every_paint_is_a_part_of_a_picture():
    found = paints(red_picture(), BLACK, KEY)
    assert set(found) == {"mean", "blur", "noise"}
    edits = [Edit(masked(*CORNER), fill, name) for name, fill in found.items()]
    assert all(apply(red_picture(), each).aminmax().min >= 0 for each in edits)


def test_hiding_by_the_map_takes_what_is_read_first():
    found = look(corner(at="red"), red_picture(), "hirescam", BLACK, KEY)
    assert found.target == 1
    assert found.map.shape == SIZE
    assert found.salient.shape == found.elsewhere.shape == (len(HIDDEN), 3)
    assert torch.allclose(found.salient[0], found.elsewhere[0])
    half = HIDDEN.index(0.2)  # the corner is a tenth
    assert found.salient[half, 1] < 0.01 < 0.3 < found.elsewhere[half, 1]
    first, other = found.steps
    assert first[CORNER].max() <= HIDDEN.index(0.2)
    counts = [int((first <= step).sum()) for step in range(len(HIDDEN))]
    assert counts == [round(share * SIZE[0] * SIZE[1]) for share in HIDDEN]
    assert [int((other <= step).sum()) for step in range(len(HIDDEN))] == counts


def test_occlusion_needs_no_layer():
    assert look(corner(at="red"), red_picture(), "occlusion", BLACK, KEY).target == 1


def test_a_picture_is_its_own_nearest():
    torch.manual_seed(0)
    pictures = torch.rand(6, 3, *SIZE)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(5, 3),
    )  # fmt: skip
    known = pooled(corner().__class__("net", net, (0.0,) * 3, (1.0,) * 3, ("a", "b", "c"), "1"), pictures)
    assert known.norm(dim=1).tolist() == pytest.approx([1.0] * 6)
    found = nearest(known[4], known, 3)
    assert found[0] == (4, pytest.approx(1.0))
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    assert len(nearest(known[0], known, 100)) == 6


def test_another_number_of_classes_is_an_error():
    wrong = corner()
    wrong = type(wrong)("wrong", wrong.model, wrong.mean, wrong.std, ("a", "b"))
    with pytest.raises(OverfocusError, match="3 numbers and has 2"):
        answer(wrong, red_picture(), [], KEY)
