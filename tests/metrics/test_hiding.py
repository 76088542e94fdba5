"""Areas under hiding curves, by hand."""

import math

import pytest
import torch

from overfocus.metrics.hiding import area_under, overfocus


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
