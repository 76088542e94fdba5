"""Accuracy between classes, by hand."""

import torch

from overfocus.metrics.mix import either


def test_either_class_is_right():
    found = either(torch.tensor([1, 2, 3, 4, -1]), torch.tensor([1, 0, 1, 4, 0]), torch.tensor([2, 2, 2, 4, 1]))
    assert found[:3].tolist() == [1, 1, 0]
    assert found[3:].isnan().all(), "one class twice and no answer have no answer"
