"""Thresholds and calibration on planted answers, whose right values are counted by hand."""

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.selective import HeldOut, held_out_answers, targets
from overfocus.metrics.temperature import temperature

#              right right wrong right right wrong wrong
PLANTED = HeldOut("val", 1.0, (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3), (True, True, False, True, True, False, False))


@pytest.mark.parametrize(
    ("wished", "value", "count"),
    [(1.0, 0.8, 2), (0.9, 0.8, 2), (0.8, 0.5, 5), (0.75, 0.5, 5), (0.66, 0.4, 6), (0.57, 0.0, 7), (0.1, 0.0, 7)],
)
def test_the_smallest_threshold_with_the_wished_accuracy(wished, value, count):
    found = PLANTED.threshold(wished)
    assert found.value == value
    assert found.accuracy.n == count
    kept = [right for at, right in zip(PLANTED.confidences, PLANTED.right, strict=True) if at >= found.value]
    assert found.accuracy.value == pytest.approx(sum(kept) / len(kept))
    assert found.accuracy.value >= wished
    assert found.answered == pytest.approx(count / 7)


def test_no_smaller_threshold_would_do():
    source = torch.Generator().manual_seed(0)
    confidences = (torch.rand(300, generator=source) * 20).round() / 20  # many are equal
    right = torch.rand(300, generator=source) < confidences
    given = HeldOut("val", 1.0, tuple(confidences.tolist()), tuple(right.tolist()))
    for wished in (0.5, 0.7, 0.9):
        found = given.threshold(wished)
        for at in {0.0, *given.confidences}:
            share = right[confidences >= at].double().mean()
            assert (share < wished) or at >= found.value
        assert right[confidences >= found.value].double().mean() >= wished


def test_equal_confidences_are_answered_together():
    given = HeldOut("val", 1.0, (0.9, 0.9, 0.2), (True, False, False))
    with pytest.raises(OverfocusError, match=r"most is 0\.500"):
        given.threshold(0.8)
    assert given.threshold(0.5).value == 0.9


def test_an_accuracy_that_cannot_be_reached_names_the_most():
    with pytest.raises(OverfocusError, match=r"3 held-out pictures, where the most is 0\.667"):
        HeldOut("val", 1.0, (0.9, 0.8, 0.7), (False, True, True)).threshold(0.9)
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(OverfocusError, match="more than 0 and at most 1"):
            PLANTED.threshold(wrong)


def test_the_interval_is_that_of_clopper_and_pearson():
    found = HeldOut("val", 1.0, (0.9,) * 20, (True,) * 20).threshold(0.95).accuracy
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / 20))


def test_calibrated_confidence_is_the_planted_one():
    source = torch.Generator().manual_seed(1)
    logits = torch.randn(4000, 5, generator=source, dtype=torch.float64) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=source)[:, 0]
    found = held_out_answers(logits * 4, labels, "val")
    assert found.temperature == pytest.approx(4, rel=0.06)
    right = torch.tensor(found.right).double().mean()
    assert sum(found.confidences) / 4000 == pytest.approx(float(right), abs=0.02)


def test_all_right_on_few_pictures_is_not_certainty():
    logits = torch.eye(3)[torch.arange(30) % 3] * 5
    found = held_out_answers(logits, torch.arange(30) % 3, "val")
    assert found.temperature is not None
    assert all(found.right)
    assert found.confidences[0] == pytest.approx(31 / 32, abs=1e-3)  # Laplace's rule of succession


def test_answers_that_say_nothing_are_not_calibrated():
    found = held_out_answers(torch.eye(3)[[0, 1, 2] * 4], torch.tensor([1, 2, 0] * 4), "val")
    assert found.temperature is None
    assert not any(found.right)


def test_targets_sum_to_one_and_become_the_labels():
    found = targets(torch.tensor([2, 0, 1]), 4)
    assert found.sum(dim=1).tolist() == pytest.approx([1.0] * 3)
    assert found[0].tolist() == pytest.approx([1 / 15, 1 / 15, 4 / 5, 1 / 15])
    logits, labels = torch.randn(5000, 3, generator=torch.Generator().manual_seed(2)), torch.arange(5000) % 3
    logits[torch.arange(5000), labels] += 1
    assert temperature(logits, targets(labels, 3)) == pytest.approx(temperature(logits, labels), rel=1e-2)


def test_it_is_read_as_it_was_written():
    assert HeldOut.read(PLANTED.as_dict()) == PLANTED
    for damage in ({"right": [1]}, {"confidences": "x"}, {"confidences": [], "right": []}):
        with pytest.raises(OverfocusError, match="train it again"):
            HeldOut.read({**PLANTED.as_dict(), **damage})
    with pytest.raises(OverfocusError, match="train it again"):
        HeldOut.read({})
