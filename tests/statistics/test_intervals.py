"""Intervals over seeds: by hand, and against studies whose truth is known."""

import json
from math import isnan, nan, sqrt

import numpy as np
import pytest
from study_noise import (
    KINDS,
    SEEDS,
    bootstrap_ends,
    differences,
    holds,
    improvement_runs,
    newcombe_ends,
    pairs_bootstrap_ends,
    philox,
    t_ends,
)

from overfocus.core.errors import OverfocusError
from overfocus.core.interval import Interval
from overfocus.statistics.estimate import mean_interval
from prose import numbers


def test_one_two_three_by_hand():
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = 4.302652729911275 / sqrt(3)  # t(0.975, 2) s / sqrt(n) with s = 1
    assert (found.value, found.n, found.note) == (2.0, 3, "")
    assert found.low == pytest.approx(2 - half)
    assert found.high == pytest.approx(2 + half)


def test_two_seeds_have_a_wide_interval():
    found = mean_interval(np.array([0.0, 1.0]))
    assert found.high == pytest.approx(0.5 + 12.706204736432095 * 0.5)


def test_missing_seeds_are_left_out_and_counted():
    found = mean_interval(np.array([1.0, nan, 2.0, 3.0, np.inf]))
    assert (found.value, found.n, numbers(found.note)) == (2.0, 3, ["2", "5"])
    assert found.low == pytest.approx(mean_interval(np.array([1.0, 2.0, 3.0])).low)


@pytest.mark.parametrize(
    ("values", "value", "n", "noted"),
    [
        ([], nan, 0, []),
        ([nan, nan], nan, 0, ["2", "2"]),
        ([0.7], 0.7, 1, []),
        ([0.7, nan], 0.7, 1, ["1", "2"]),
        ([0.1 + 0.2, 0.3], 0.3, 2, ["2"]),
        ([0.0, 0.0, 0.0], 0.0, 3, ["3"]),
    ],
)
def test_no_interval_where_nothing_is_known_of_the_noise(values, value, n, noted):
    found = mean_interval(np.array(values))
    assert found.value == pytest.approx(value, nan_ok=True)
    assert (found.n, numbers(found.note), found.bounded) == (n, noted, False)
    assert found.note
    assert isnan(found.low)
    assert isnan(found.high)


def test_small_noise_on_a_large_number_is_still_noise():
    assert mean_interval(1e6 + np.array([0.0, 1e-4, 2e-4])).bounded


def test_what_json_holds():
    found = json.dumps(mean_interval(np.array([0.5])).as_dict(), allow_nan=False)
    assert json.loads(found)["low"] is None
    assert json.loads(found)["value"] == 0.5
    assert str(Interval(nan, note="no seed")) == "no answer (no seed)"
    assert str(Interval(0.5)) == "0.500"
    assert str(Interval(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"


def test_other_shapes_are_refused():
    with pytest.raises(OverfocusError, match=r"\[S\], not \[2, 3\]"):
        mean_interval(np.zeros((2, 3)))


@pytest.mark.parametrize("n", SEEDS)
def test_covers_under_normal_noise(n):
    d = differences("normal", (20_000, n), philox(n))
    assert holds(t_ends(d)) == pytest.approx(0.95, abs=0.007)  # Monte Carlo error 0.0015
    shown = [mean_interval(each) for each in d[:20]]
    assert np.allclose([(each.low, each.high) for each in shown], np.transpose(t_ends(d[:20])))


def test_percentile_bootstrap_is_too_narrow_for_five_seeds():
    """The reason why it is not the interval: it would be called 95 % and hold 83 %."""
    assert 0.80 < holds(bootstrap_ends("percentile", differences("normal", (2000, 5), philox(1)), philox(2))) < 0.87


@pytest.mark.slow
@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_of_the_code_itself(kind, n):
    """The figures of the decision, of `mean_interval` itself; Monte Carlo error 0.5 %."""
    found = [mean_interval(each) for each in differences(kind, (2000, n), philox(100 + n))]
    covered = holds((np.array([each.low for each in found]), np.array([each.high for each in found])))
    low, high = {"skewed": (0.86, 0.94), "heavy": (0.94, 0.98), "coarse": (0.93, 0.99)}.get(kind, (0.93, 0.97))
    assert low < covered < high


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_interval_of_the_probability_of_improvement_covers(shift):
    method, baseline, truth = improvement_runs("normal", shift, 2000, 5, philox(shift))
    assert 0.92 < holds(newcombe_ends(method, baseline), truth) < 0.985


def test_bootstrap_of_the_probability_of_improvement_is_too_narrow():
    method, baseline, truth = improvement_runs("normal", 2, 400, 5, philox(3))
    assert holds(pairs_bootstrap_ends(method, baseline, philox(4)), truth) < 0.8
