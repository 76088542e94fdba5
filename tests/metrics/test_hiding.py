"""Areas under hiding curves, by hand."""

import math

import pytest
import torch

from overfocus.metrics.hiding import area_under, floor, overfocus, relative


def test_the_area_is_that_of_trapezoids():
    values = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    shares = torch.tensor([0.0, 0.5, 1.0])
    assert area_under(values, shares).tolist() == [0.25, 1.0]


def test_uneven_steps_count_by_their_width():
    values = torch.tensor([[1.0], [1.0], [0.0]])
    assert float(area_under(values, torch.tensor([0.0, 0.2, 1.0]))) == pytest.approx(0.2 + 0.8 / 2)


def test_the_overfocus_score_is_the_area_between_the_curves_and_closes_at_one():
    control = torch.tensor([[1.0], [1.0], [1.0]])
    salient = torch.tensor([[1.0], [0.0], [0.0]])
    shares = torch.tensor([0.0, 0.4, 0.8])
    # A triangle to 0.4, a rectangle to 0.8, and a triangle to 1, where both hide all.
    assert float(overfocus(salient, control, shares)) == pytest.approx(0.2 + 0.4 + 0.1)


def test_a_score_is_zero_where_what_is_salient_matters_no_more():
    curve = torch.rand(4, 3)
    assert overfocus(curve, curve, torch.tensor([0.0, 0.1, 0.5, 0.9])).tolist() == [0, 0, 0]


def test_it_changes_sign_with_the_curves():
    shares, a, b = torch.tensor([0.0, 0.3, 0.9]), torch.rand(3, 5), torch.rand(3, 5)
    assert torch.allclose(overfocus(a, b, shares), -overfocus(b, a, shares))


def test_an_image_without_a_map_has_no_score():
    salient = torch.tensor([[math.nan, 1.0], [math.nan, 0.0]])
    found = overfocus(salient, torch.ones(2, 2), torch.tensor([0.0, 1.0]))
    assert found[0].isnan()
    assert found[1] == 0.5


LABELS = torch.tensor([0, 0, 0, 1, 1, 2])


def test_what_there_is_to_lose_is_what_one_class_for_everything_loses():
    whole = torch.tensor([0, 0, 1, 1, 1, 0])  # right on the first two, the fourth and the fifth
    assert floor(whole, LABELS) == 0.5
    score = torch.tensor([0.2, 0.1, 0.3, 0.5, 0.0, -0.1])
    found = relative(score, whole, LABELS)
    assert found.isnan().tolist() == [False, False, True, False, False, True]
    assert found[[0, 1, 3, 4]].tolist() == pytest.approx([0.4, 0.2, 1.0, 0.0])


def test_the_relative_score_reaches_1_where_all_is_lost_at_once_and_the_control_loses_nothing():
    labels = torch.arange(4)
    shares = torch.tensor([0.0, 1e-6, 1 - 1e-6])
    salient = torch.tensor([[1.0] * 4, [0.25] * 4, [0.25] * 4])  # chance
    found = relative(overfocus(salient, torch.ones(3, 4), shares), labels, labels)
    assert found.tolist() == pytest.approx([1] * 4, abs=1e-5)


@pytest.mark.parametrize("whole", [[0] * 6, [2] * 6, [1, 2, 2, 2, 2, 0]])
def test_where_nothing_can_be_lost_there_is_no_number(whole):
    whole = torch.tensor(whole)
    assert math.isnan(floor(whole, LABELS))
    assert relative(torch.zeros(6), whole, LABELS).isnan().all()
