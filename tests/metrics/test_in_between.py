"""Accuracy between classes, by hand."""

import pytest
import torch

from overfocus.metrics.mix import IN_BETWEEN, either, in_between


def test_either_class_is_right():
    found = either(torch.tensor([1, 2, 3, 4, -1]), torch.tensor([1, 0, 1, 4, 0]), torch.tensor([2, 2, 2, 4, 1]))
    assert found[:3].tolist() == [1, 1, 0]
    assert found[3:].isnan().all(), "one class twice and no answer have no answer"


def test_the_score_counts_images_with_an_answer():
    predicted, first, second = torch.tensor([1, 2, 3, 4]), torch.tensor([1, 0, 1, 4]), torch.tensor([2, 2, 2, 4])
    score = in_between(predicted, first, second)
    assert score.metric is IN_BETWEEN
    assert score.value == pytest.approx(2 / 3)
    assert score.n == 3
    assert "1 images" in score.note


def test_none_is_no_answer():
    same = torch.tensor([1, 1])
    assert not in_between(same, same, same).answered
