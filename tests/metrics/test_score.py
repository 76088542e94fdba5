"""Scores: means with intervals that cover the truth as often as they say, and no number where there is no answer."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from overfocus.metrics import score
from overfocus.metrics.score import Metric, Score, mean_interval, mean_score

SHARE = Metric("share", "mean", "higher")


def test_the_mean_is_the_mean_and_the_interval_that_of_scipy():
    values = torch.from_numpy(np.random.default_rng(3).gamma(2.0, size=80))
    found = mean_score(SHARE, values)
    peer = stats.bootstrap(
        (values.numpy(),), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx(float(values.mean()), abs=1e-12)
    width = peer.high - peer.low
    assert found.low == pytest.approx(peer.low, abs=0.08 * width)
    assert found.high == pytest.approx(peer.high, abs=0.08 * width)
    assert found.n == 80


def test_ninety_five_per_cent_of_the_intervals_hold_the_truth():
    values = torch.from_numpy(np.random.default_rng(0).normal(0.3, 1.0, (400, 60)))
    ends = [mean_interval(row) for row in values]
    held = sum(low <= 0.3 <= high for low, high in ends)
    assert 0.90 <= held / 400 <= 0.98


def test_an_image_without_an_answer_is_left_out_and_counted():
    found = mean_score(SHARE, torch.tensor([1.0, math.nan, 0.0, math.inf]))
    assert (found.value, found.n) == (0.5, 2)
    assert "2 images without an answer" in found.note


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_nothing_is_no_answer_and_never_zero(values):
    found = mean_score(SHARE, torch.tensor(values))
    assert math.isnan(found.value)
    assert not found.answered
    assert found.as_dict()["value"] is None
    assert "no answer" in str(found)


def test_one_image_has_a_value_and_no_interval():
    found = mean_score(SHARE, torch.tensor([0.25]))
    assert (found.value, found.n) == (0.25, 1)
    assert math.isnan(found.low)
    assert str(found) == "0.250"


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    values = torch.from_numpy(np.random.default_rng(1).normal(size=50))
    assert mean_interval(values, 0) == mean_interval(values, 0)
    assert mean_interval(values, 0) != mean_interval(values, 1)


def test_many_images_take_the_normal_interval_which_agrees(monkeypatch):
    values = torch.from_numpy(np.random.default_rng(1).normal(size=3000))
    drawn = mean_interval(values)
    monkeypatch.setattr(score, "MANY", 1000)
    normal = mean_interval(values)
    assert normal == pytest.approx(drawn, abs=0.006)
    assert normal != drawn


def test_the_arrow_says_which_way_is_better():
    arrows = [Metric("m", "f", way).arrow for way in ("higher", "lower", "neither")]
    assert arrows == ["↑", "↓", ""]
    assert Score(SHARE, 0.5).as_dict()["better"] == "higher"
