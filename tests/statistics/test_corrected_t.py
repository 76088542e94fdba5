"""The corrected resampled t test of Nadeau and Bengio: by the words of the paper, and on problems where nothing is to
be found.
"""

from math import isnan, sqrt

import numpy as np
import pytest
from fold_noise import false_verdicts
from scipy import stats

from overfocus.statistics.correlation import mean_region
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.folds import widening
from overfocus.statistics.paired import paired
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.power import power
from overfocus.statistics.verdict import compared, per_class_effects

BASE = np.array([0.80, 0.82, 0.81, 0.79, 0.83])
OWN = np.array([0.83, 0.84, 0.85, 0.80, 0.86])


def reading(differences, n_train, n_test):
    """Their statistic: mean / sqrt((1 / J + n_test / n_train) S^2), Student's t with J - 1 degrees of freedom. Return p
    and the 95 % interval.
    """
    count = len(differences)
    mean = sum(differences) / count
    squared = sum((each - mean) ** 2 for each in differences) / (count - 1)
    error = sqrt((1 / count + n_test / n_train) * squared)
    p = 2 * stats.t.cdf(-abs(mean / error), count - 1)
    half = stats.t.ppf(0.975, count - 1) * error
    return p, mean - half, mean + half


@pytest.mark.parametrize(("folds", "repeats"), [(2, 1), (5, 1), (5, 2), (10, 3)])
def test_it_is_the_test_of_the_paper(folds, repeats):
    """Sets of 100 pictures: n_train = 100 (K - 1) / K, n_test = 100 / K."""
    draw = np.random.Generator(np.random.Philox(folds))
    base = draw.normal(0.8, 0.02, folds * repeats)
    own = base + draw.normal(0.01, 0.02, folds * repeats)
    found = paired(own, base, folds=folds)
    p, low, high = reading(own - base, 100 * (folds - 1) / folds, 100 / folds)
    assert (found.p, found.difference.low, found.difference.high) == pytest.approx((p, low, high), rel=1e-9)
    plain = paired(own, base)
    assert found.p > plain.p
    assert found.difference.value == plain.difference.value


def test_five_folds_by_hand():
    """d = 3, 2, 4, 1, 3 points: mean 2.6, s^2 = 1.3; (1 / 5 + 1 / 4) 1.3 = 0.585, t = 2.6 / 0.76485 = 3.3993. baycomp's
    CorrelatedTTest and scikit-learn's corrected t test have this variance too.
    """
    found = paired(OWN, BASE, folds=5)
    assert found.p == pytest.approx(2 * stats.t.sf(2.6 / sqrt(0.585), 4))
    assert found.difference.high == pytest.approx(0.026 + stats.t.isf(0.025, 4) * sqrt(0.585) / 100)
    assert paired(OWN, BASE).p == pytest.approx(2 * stats.t.sf(2.6 / sqrt(0.26), 4))


def test_every_number_over_folds_is_corrected():
    """Means, intervals, regions and the power sentence; what would take folds as independent has no answer."""
    wide = widening(5, 5)
    assert wide == pytest.approx(1.5)
    assert widening(5, 0) == 1.0
    mean, plain = mean_interval(BASE, folds=5), mean_interval(BASE)
    assert mean.high - mean.value == pytest.approx(1.5 * (plain.high - plain.value))
    points = np.stack((BASE, OWN[::-1]), axis=1)
    region, narrow = mean_region(points, folds=5), mean_region(points)
    np.testing.assert_allclose(region.axes, 1.5 * narrow.axes)
    found = paired(OWN, BASE, folds=5)
    # at the detectable difference the corrected statistic has 80 % power: its effect is that of 5 seeds over 1.5
    assert power(found.detectable / found.noise / wide, 5) == pytest.approx(0.8)
    assert isnan(found.p_sign_flip)
    assert not found.bootstrap.bounded
    assert not found.improvement.bounded
    assert found.improvement.value == paired(OWN, BASE).improvement.value


def test_verdicts_rest_on_it():
    """A difference that the plain test calls better and the corrected one does not."""
    own = BASE + np.array([0.02, 0.01, 0.045, 0.005, 0.02])
    values = {"plain": BASE, "own": own}
    assert compared(values, "plain", margin=0.01).effects["own"].verdict == "better"
    found = compared(values, "plain", margin=0.01, folds=5).effects["own"]
    assert found.verdict == "too few seeds"
    assert found.p == pytest.approx(reading(own - BASE, 80, 20)[0])
    assert isnan(found.new_seeds), "more folds of the same pictures would not settle it"
    by_class = own[:, None], BASE[:, None]
    assert [each.verdict for each in per_class_effects(*by_class)] == ["better"]
    assert [each.verdict for each in per_class_effects(*by_class, folds=5)] == ["too few seeds"]


def test_a_tie_is_decided_by_the_pictures_of_all_folds():
    """Out of fold every picture is there once: [1, N]; no interval is made of one row."""
    same = np.zeros((1, 50), int)
    found = compared(
        {"a": BASE, "b": BASE}, "a", margin=0.01, folds=5, pictures=lambda m: Pictures(same, same, same[0])
    )
    assert found.effects["b"].verdict == "no difference"
    other = np.where(np.arange(50) < 2, [[1, 0] * 25], 0)
    swapped = other.copy()
    swapped[0, :2] = [0, 1]
    tied = compared({"a": BASE, "b": BASE}, "a", margin=0.01, folds=5,
                    pictures=lambda m: Pictures(other, swapped, same[0]))  # fmt: skip
    assert tied.effects["b"].verdict == "too few seeds"
    assert not tied.effects["b"].two_level.bounded
    unknown = compared({"a": BASE, "b": BASE + 0.01}, "a", margin=0.01, folds=5).effects["b"]
    assert unknown.verdict == "too few seeds", "equal differences, and sign flips do not hold over folds"


@pytest.mark.parametrize(("learner", "folds", "repeats"), [("best feature", 10, 1), ("nearest mean", 5, 2)])
def test_a_null_is_called_a_difference_in_about_5_percent(learner, folds, repeats):
    """Two learners that are equally good, on sets of 100 points: 1,000 studies, Monte Carlo error 0.7 %."""
    found = false_verdicts(folds, 1000, repeats=repeats, learner=learner)
    assert found["corrected"] <= 0.05 + 3 * 0.007
    assert found["plain"] >= 0.10
