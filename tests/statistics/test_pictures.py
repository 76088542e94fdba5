"""Intervals over seeds and test pictures: by hand, by the two-way table, and against studies whose truth is known."""

import numpy as np
import pytest
from scipy import stats
from study_noise import coverage_of_pictures, philox

from overfocus.statistics.pictures import Pictures, two_level_interval
from overfocus.statistics.verdict import compared, per_class_effects


def test_by_hand():
    """Rows 1, 3; columns 1, 2, 3. A = 3 x 2 = 6, B = 2 x 1 = 2, E = 0: V = 8 / 6, f = 1 x (8 / 6)^2."""
    found = two_level_interval(np.array([[0.0, 1, 2], [2, 3, 4]]))
    half = stats.t.ppf(0.975, (8 / 6) ** 2) * (8 / 6) ** 0.5
    assert (found.value, found.n) == (2, 2)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))


def test_mean_squares_are_those_of_the_analysis_of_variance():
    """Of 0, 1 columns the sums of squares add up to that of the whole table."""
    values = philox(1).integers(-1, 2, (4, 7)).astype(float)
    a = 7 * values.mean(axis=1).var(ddof=1)
    b = 4 * values.mean(axis=0).var(ddof=1)
    e = (np.square(values - values.mean()).sum() - 3 * a - 6 * b) / 18
    total = a + max(b - e, 0)
    half = stats.t.ppf(0.975, 3 * (total / a) ** 2) * (total / 28) ** 0.5
    assert two_level_interval(values).high - values.mean() == pytest.approx(half)


def test_without_pictures_that_matter_it_is_the_interval_over_seeds():
    """Every picture of a seed is the same, so the pictures add nothing."""
    rows = np.array([0.1, 0.3, 0.2])
    ends = stats.ttest_1samp(rows, 0).confidence_interval()
    found = two_level_interval(np.repeat(rows[:, None], 6, axis=1))
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_without_seeds_that_matter_it_is_the_interval_over_pictures():
    columns = philox(2).integers(-1, 2, 200).astype(float)
    found = two_level_interval(np.repeat(columns[None], 3, axis=0))
    assert found.high - found.value == pytest.approx(1.959964 * columns.std(ddof=1) / 200**0.5, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (3, 4), (2, 0)])
def test_without_an_answer_there_is_a_reason(shape):
    found = two_level_interval(np.zeros(shape))
    assert not found.bounded
    assert found.note


@pytest.mark.parametrize(
    ("seeds", "pictures", "by_picture"), [(3, 100, 1.0), (5, 300, 0.5), (10, 100, 1.0), (5, 50, 0)]
)
def test_covers_seeds_and_pictures(seeds, pictures, by_picture):
    """Monte Carlo error 0.7 %; over seeds alone the truth of other pictures is lost where pictures matter."""
    found = coverage_of_pictures(seeds, pictures, by_picture, 1000)
    assert 0.925 < found["seeds x pictures"] < 0.985
    if (seeds, by_picture) == (10, 1.0):
        assert found["seeds"] < 0.85


def test_a_verdict_of_these_pictures_alone_says_so():
    """Every seed gains the same 3 of 60 pictures and loses another 1: sure of these pictures, not of others."""
    labels = np.zeros(60, int)
    base = np.zeros((6, 60), int)
    base[:, :3] = 1
    method = np.zeros((6, 60), int)
    method[:, 3] = 1
    method[np.arange(6), 10 + np.arange(6) % 2] = 1  # another picture is lost, so that seeds differ
    method[0, 10] = 0
    pictures = Pictures(method, base, labels)
    values = {"plain": (base == 0).mean(axis=1), "a": (method == 0).mean(axis=1)}
    found = compared(values, "plain", margin=0.001, pictures=lambda name: pictures).effects["a"]
    assert found.verdict == "better"
    assert found.two_level == pictures.interval()
    assert found.two_level.low < 0 < found.paired.difference.low
    assert "pictures" in found.caveat
    alone = compared(values, "plain", margin=0.001).effects["a"]
    assert (alone.verdict, alone.two_level.bounded) == ("better", False)
    assert "pictures" not in alone.caveat
    assert alone.two_level.note


def test_classes_have_their_own():
    draw = philox(4)
    labels = np.arange(30) % 3
    method, baseline = draw.integers(0, 3, (2, 4, 30))
    pictures = Pictures(method, baseline, labels)
    by_class = [np.stack([(p[:, labels == k] == k).mean(axis=1) for k in range(3)], axis=1) for p in (method, baseline)]
    found = per_class_effects(*by_class, pictures=pictures)
    for k, effect in enumerate(found):
        rows = labels == k
        right = (method[:, rows] == k).astype(float) - (baseline[:, rows] == k)
        assert effect.two_level == two_level_interval(right)
        assert effect.two_level.value == pytest.approx(effect.paired.difference.value)
