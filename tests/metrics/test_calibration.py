import math

import numpy as np
import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics.binning import Groups, Placed, equal_width
from overfocus.metrics.calibration import (
    best_risk_area,
    binned_error,
    calibration_scores,
    debiased_square,
    equal_mass,
    risk_area,
)


def sample(n=90, seed=0, soft=False):
    source = torch.Generator().manual_seed(seed)
    confidence = 0.2 + 0.8 * torch.rand(n, generator=source, dtype=torch.float64)
    hit = torch.rand(n, generator=source, dtype=torch.float64)
    return confidence, hit if soft else (hit < confidence * 0.8).double()


def ece_slowly(confidence, hit, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins or (b == 0 and c == 0)]
        if inside:
            total += abs(sum(confidence[i] - hit[i] for i in inside))
    return total / len(confidence)


def aurc_slowly(confidence, hit):
    order = sorted(range(len(hit)), key=lambda i: -confidence[i])
    risks = [sum(1 - hit[i] for i in order[:kept]) / kept for kept in range(1, len(order) + 1)]
    return sum(risks) / len(risks)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_read_literally(bins, soft):
    confidence, hit = sample(soft=soft)
    expected = ece_slowly(confidence.tolist(), hit.tolist(), bins)
    assert binned_error(Placed.of(confidence, hit, bins).tables().bins) == pytest.approx(expected)


def test_bins_hold_their_right_edge():
    assert equal_width(torch.tensor([0.0, 0.1, 0.25, 0.2500001, 0.5, 0.75, 1.0]), 4).tolist() == [0, 0, 0, 1, 1, 2, 3]
    with pytest.raises(OverfocusError, match="at least 1"):
        equal_width(torch.tensor([0.5]), 0)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("bins", [7, 15])
def test_parity_with_torchmetrics(norm, bins):
    classification = pytest.importorskip("torchmetrics.classification")
    source = torch.Generator().manual_seed(2)
    probabilities = (torch.randn(500, 5, generator=source) * 2).softmax(1)
    labels = torch.randint(5, (500,), generator=source)
    theirs = classification.MulticlassCalibrationError(5, n_bins=bins, norm=norm)(probabilities, labels)
    hit = (probabilities.argmax(1) == labels).double()
    ours = binned_error(Placed.of(probabilities.amax(1), hit, bins).tables().bins, norm)
    assert ours == pytest.approx(theirs.item(), abs=1e-5)


@pytest.mark.parametrize("soft", [False, True])
def test_equal_mass_read_literally(soft):
    confidence, hit = sample(90, soft=soft)
    order = confidence.argsort()
    expected = sum(abs(float((confidence - hit)[rows].sum())) for rows in order.split(6)) / 90
    groups = equal_mass(Placed.of(confidence, hit).tables().ranks, 15)
    assert binned_error(groups) == pytest.approx(expected)
    torch.testing.assert_close(groups.sums[:, 0], torch.full((15,), 6.0, dtype=torch.float64))


@pytest.mark.parametrize("n", [1, 4, 15, 91])
def test_equal_mass_shares_out_what_lies_on_an_edge(n):
    ranks = Placed.of(*sample(n)).tables().ranks
    groups = equal_mass(ranks, 15)
    torch.testing.assert_close(groups.sums.sum(0), ranks.sums.sum(0))
    torch.testing.assert_close(groups.sums[:, 0], torch.full((15,), n / 15, dtype=torch.float64))


def test_equal_confidences_are_one_group():
    confidence, hit = torch.full((40,), 0.7), torch.tensor([1.0] * 10 + [0.0] * 30)
    ranks = Placed.of(confidence, hit).tables().ranks
    assert binned_error(equal_mass(ranks, 15)) == pytest.approx(0.45)
    assert risk_area(ranks) == pytest.approx(0.75)


def test_order_of_the_images_never_matters():
    confidence, hit = sample(60)
    confidence = (confidence * 6).round() / 6
    one, other = calibration_scores(confidence, hit), calibration_scores(confidence.flip(0), hit.flip(0))
    for name in one:
        assert one[name].value == pytest.approx(other[name].value), name


def test_debiased_is_kumars_where_a_bin_has_one_confidence():
    confidence, hit = (
        torch.tensor([0.4] * 6 + [0.9] * 10, dtype=torch.float64),
        torch.tensor([1.0, 0, 0, 0, 1, 0] + [1.0] * 7 + [0] * 3),
    )
    expected = 0.0
    for c in (0.4, 0.9):
        own = hit[confidence == c].double()
        n, accuracy = len(own), float(own.mean())
        expected += n / 16 * ((c - accuracy) ** 2 - accuracy * (1 - accuracy) / (n - 1))
    groups = Placed.of(confidence, hit, 10).tables().bins
    assert debiased_square(groups) == pytest.approx(expected)


def test_debiasing_takes_the_bias_away():
    """Calibrated confidences in few images: the plain squared error is far above its true value 0, the mean of the
    debiased one is not.
    """
    source = torch.Generator().manual_seed(5)
    plain, debiased = [], []
    for _ in range(300):
        confidence = torch.rand(60, generator=source).double()
        hit = (torch.rand(60, generator=source) < confidence).double()
        groups = equal_mass(Placed.of(confidence, hit).tables().ranks, 10)
        plain.append(binned_error(groups, "l2") ** 2)
        debiased.append(debiased_square(groups))
    assert np.mean(plain) > 0.02
    assert abs(np.mean(debiased)) < 4 * np.std(debiased) / 300**0.5
    assert abs(np.mean(debiased)) < 0.1 * np.mean(plain)


def test_debiased_without_an_answer():
    assert math.isnan(debiased_square(Placed.of(*sample(5), 15).tables().bins))
    score = calibration_scores(*sample(20))["ece_debiased"]
    assert not score.answered
    assert "fewer than 2" in score.note


def test_debiased_below_zero_is_held_and_said():
    confidence = torch.full((40,), 0.5)
    score = calibration_scores(confidence, torch.tensor([0.0, 1.0] * 20), 2)["ece_debiased"]
    assert score.value == 0
    assert "held" in score.note


@pytest.mark.parametrize("soft", [False, True])
def test_aurc_read_literally(soft):
    confidence, hit = sample(30, soft=soft)
    ranks = Placed.of(confidence, hit).tables().ranks
    assert risk_area(ranks) == pytest.approx(aurc_slowly(confidence.tolist(), hit.tolist()))


def test_ties_are_the_mean_over_all_their_orders():
    confidence = [0.9, 0.6, 0.6, 0.6, 0.3]
    hit = [1.0, 0.0, 1.0, 0.0, 0.0]
    source, every = np.random.default_rng(0), []
    for _ in range(4000):
        jitter = [c + 1e-6 * source.random() for c in confidence]
        every.append(aurc_slowly(jitter, hit))
    found = risk_area(Placed.of(torch.tensor(confidence), torch.tensor(hit)).tables().ranks)
    assert found == pytest.approx(np.mean(every), abs=4 * np.std(every) / 4000**0.5)


def test_excess_is_zero_for_the_best_order_and_only_there():
    hit = torch.tensor([1.0, 1, 1, 0, 0])
    best = Placed.of(torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), hit).tables().ranks
    worst = Placed.of(torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9]), hit).tables().ranks
    assert best_risk_area(best) == pytest.approx((1 / 4 + 2 / 5) / 5)
    assert risk_area(best) == pytest.approx(best_risk_area(best))
    assert risk_area(worst) - best_risk_area(worst) > 0.3


@pytest.mark.parametrize(("hits", "area"), [(0.0, 1.0), (1.0, 0.0)])
def test_all_wrong_and_all_right(hits, area):
    ranks = Placed.of(sample(8)[0], torch.full((8,), hits)).tables().ranks
    assert risk_area(ranks) == pytest.approx(area)
    assert best_risk_area(ranks) == pytest.approx(area)


def test_no_images_no_answer():
    for score in calibration_scores(torch.zeros(0), torch.zeros(0)).values():
        assert math.isnan(score.value)
    assert math.isnan(binned_error(Groups(torch.zeros(3, 4))))


def test_intervals_hold_their_value():
    for name, score in calibration_scores(*sample(800, soft=False)).items():
        assert score.low < score.high, name
        assert score.low - 0.02 < score.value < score.high + 0.02, name


def binned_bias(confidence, bins=15):
    """The ECE to expect of a calibrated model: sum_b E|sum of (confidence - hit) in b| / N, each sum normal."""
    variance = np.bincount(np.ceil(confidence * bins).astype(int) - 1, confidence * (1 - confidence), minlength=bins)
    return float(np.sqrt(2 / np.pi * variance).sum() / len(confidence))


@pytest.mark.parametrize("images", [300, 3000])
def test_of_a_calibrated_model_only_the_bias_is_left(images):
    """Hits are drawn with the chance that is their confidence: ECE less its expected bias is 0 within 3 standard
    errors, and so is the debiased square, without any correction.
    """
    draw = np.random.Generator(np.random.Philox(images))
    confidence, reported, squares = 0.2 + 0.8 * draw.beta(3, 1, images), [], []
    for _ in range(200):
        tables = Placed.of(
            torch.from_numpy(confidence), torch.from_numpy(draw.random(images) < confidence).double(), 15
        )
        reported.append(binned_error(tables.tables().bins))
        squares.append(debiased_square(equal_mass(tables.tables().ranks, 15)))
    bias = binned_bias(confidence)
    left = np.mean(reported) - bias
    assert abs(left) < 3 * np.std(reported) / 200**0.5 + 0.02 * bias  # the sums of small bins are not quite normal
    assert bias > 5 * abs(left), "without taking the bias off, a calibrated model looks miscalibrated"
    assert abs(np.mean(squares)) < 3 * np.std(squares) / 200**0.5


def test_a_model_that_is_too_sure_is_found_beyond_the_bias():
    """The planted miscalibration: hits 10 points rarer than the confidence says."""
    draw = np.random.Generator(np.random.Philox(1))
    confidence = 0.3 + 0.7 * draw.random(3000)
    hit = torch.from_numpy(draw.random(3000) < confidence - 0.1).double()
    found = calibration_scores(torch.from_numpy(confidence), hit)
    assert found["ece"].value == pytest.approx(0.1, abs=0.025)
    assert found["ece"].value > 3 * binned_bias(confidence)
    assert found["ece_debiased"].value == pytest.approx(0.1, abs=0.025)
