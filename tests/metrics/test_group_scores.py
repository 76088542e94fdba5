"""Scores of groups: exact values of hand-made tables, what chance gives, and when there is none."""

import numpy as np
import pytest
from scipy.stats.contingency import association
from sklearn import metrics as sk

from overfocus.metrics.groups import EVERY, LEAST, Cells, class_by_group, group_scores, worst_group

RIGHT, COUNT = np.array([[95, 6, 0], [4, 80, 19]]), np.array([[100, 12, 3], [9, 90, 20]])


def of_images(right, count):
    """Return labels, answers and groups of images with these cells."""
    labels, groups = (np.repeat(each.ravel(), count.ravel()) for each in np.indices(count.shape))
    hit = np.concatenate([np.arange(n) < r for r, n in zip(right.ravel(), count.ravel(), strict=True)])
    return labels, np.where(hit, labels, (labels + 1) % 2), groups


def test_exact_values_of_a_hand_made_table():
    cells = Cells.of(*of_images(RIGHT, COUNT), 2, 3)
    assert (cells.right == RIGHT).all()
    assert (cells.count == COUNT).all()
    found = group_scores(cells)
    assert list(found) == list(EVERY)
    assert cells.worst() == (0, 1)
    assert found["worst_group"].value == worst_group(cells) == 6 / 12
    assert found["worst_group"].n == COUNT[COUNT >= LEAST].sum()
    assert found["group_gap"].value == pytest.approx(95 / 100 - 6 / 12)
    share = COUNT / COUNT.sum(axis=1, keepdims=True)
    assert found["class_by_group"].value == pytest.approx(share.max(axis=0).sum() / 2)
    labels, _, groups = of_images(RIGHT, COUNT)
    likeliest = share.argmax(axis=0)[groups]
    assert found["class_by_group"].value == pytest.approx(sk.balanced_accuracy_score(labels, likeliest))
    assert found["cramers_v"].value == pytest.approx(association(COUNT, method="cramer"))
    assert "2 of 6 cells" in found["worst_group"].note
    for name in ("worst_group", "group_gap"):
        assert found[name].low <= found[name].value <= found[name].high


def test_what_differs_is_beyond_chance_and_the_same_seed_gives_the_same():
    cells = Cells(RIGHT, COUNT)
    found = group_scores(cells, seed=4)
    assert found["worst_group"].value < found["worst_group_by_chance"].low
    assert found["group_gap"].value > found["group_gap_by_chance"].high
    assert found["class_by_group"].value > found["class_by_group_by_chance"].high
    assert found == group_scores(cells, seed=4)
    assert found["worst_group_by_chance"] != group_scores(cells, seed=5)["worst_group_by_chance"]


def test_a_class_that_is_hard_everywhere_is_no_group():
    cells = Cells(np.array([[60, 61], [20, 19]]), np.array([[64, 64], [64, 64]]))
    found = group_scores(cells)
    assert found["worst_group"].value == pytest.approx(19 / 64)
    assert found["worst_group_by_chance"].low <= 19 / 64 <= found["worst_group_by_chance"].high
    assert found["group_gap"].value <= found["group_gap_by_chance"].high
    assert found["class_by_group"].value == 0.5
    assert found["cramers_v"].value == 0


def test_groups_that_say_nothing_are_seldom_beyond_chance():
    draw, false = np.random.default_rng(0), 0
    count = np.full((3, 4), 15)
    for seed in range(60):
        found = group_scores(Cells(draw.binomial(count, 0.8), count), seed=seed)
        false += found["worst_group"].value < found["worst_group_by_chance"].low
    assert false <= 6, "2.5 % are expected, so 7 of 60 come once in a thousand times"


def test_one_group_and_groups_of_one_image():
    one = group_scores(Cells(np.array([[11], [5]]), np.array([[12], [20]])))
    assert one["worst_group"].value == 5 / 20
    assert not one["group_gap"].answered
    assert "one group" in one["class_by_group"].note
    single = group_scores(Cells(np.eye(4, dtype=int)[:2], np.array([[1, 1, 0, 0], [0, 0, 1, 1]])))
    assert not single["worst_group"].answered
    assert not single["worst_group_by_chance"].answered
    assert single["class_by_group"].value == 1
    assert np.isnan(worst_group(Cells(np.ones((2, 2), int), np.ones((2, 2), int))))


@pytest.mark.parametrize("right", [0, 12])
def test_the_interval_of_a_cell_that_is_all_of_one_kind_has_a_width(right):
    found = group_scores(Cells(np.array([[right, 12]]), np.array([[12, 12]])))["worst_group"]
    assert found.value == right / 12
    assert found.high - found.low > 0.1


def test_the_group_that_tells_nothing_names_classes_by_chance():
    assert class_by_group(np.array([[30, 10], [9, 3], [6, 2]])) == pytest.approx(1 / 3)
    assert class_by_group(np.array([[30, 0], [0, 7]])) == 1
